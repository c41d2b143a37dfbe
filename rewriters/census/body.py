"""What the census says about a function, and about an image."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import cached_property

from lab.images.flow import Code, decode_function
from lab.images.image import Function, Image
from lab.layout import SiteOut


class ExitKind(enum.Enum):
    """How an activation ends.  A closed set: match it to the end."""

    RETURN = "return"
    TAIL = "tail"  # unconditional direct jump to another function's entry
    TAIL_CONDITIONAL = "tail-conditional"  # conditional direct jump to another function's entry
    TAIL_INDIRECT = "tail-indirect"  # jump through a register or memory


@dataclass(frozen=True, slots=True)
class Exit:
    """[address, address + size) is the instruction that ends the activation.

    ``register``: RETURN on AArch64: the register returned through (None on x86-64); TAIL_INDIRECT: the register
    jumped through, None if the pointer is in memory.  ``target``: of a direct jump.  ``keeps``: registers, and
    ``flags``, that must be intact when the instruction executes although nobody else needs them: what it reads itself
    (except the return address) and what its direct target reads before writing.  ``authenticates``: retaa, retab.
    """

    address: int
    size: int
    kind: ExitKind
    register: str | None = None
    target: int | None = None
    keeps: tuple[str, ...] = ()
    authenticates: bool = False


@dataclass(frozen=True)
class Body:
    """An understood function.

    ``entry``: where a push belongs, behind a landing pad (bti, endbr64; ``paciasp`` is not skipped) and behind NOPs,
    patchable-entry ones among them.  ``exits``: by address, every place at which an activation ends.  ``to_entry``:
    addresses of own branches back to [start, entry], which must not push again.  ``into``: (address, target) of jumps
    into the middle of another function of its group, or to a linker's veneer: the activation goes on there.
    ``tables``: addresses of indirect jumps
    that stay inside.  ``spills``: the return address leaves the link register (x86-64: the function calls).
    ``landing_pads``: its FDE has an LSDA.  ``fragment``: a piece of another function (``f.cold``): entered with that
    one's activation, so nothing is pushed at its entry.  ``over_prefix``: addresses of branches to the second byte of
    an instruction with a lock prefix, which they skip.  ``bare_calls``: addresses of calls made with SP as it was at
    the entry.  ``flags_free``: a sequence may change the condition flags.
    ``scratch``: registers free at the entry and, minus an exit's ``keeps``, at every exit, the preferred first.
    """

    image: Image = field(repr=False, compare=False)
    function: Function
    entry: int
    exits: tuple[Exit, ...]
    to_entry: tuple[int, ...] = ()
    into: tuple[tuple[int, int], ...] = ()
    tables: tuple[int, ...] = ()
    calls: bool = False
    spills: bool = False
    landing_pads: bool = False
    fragment: bool = False
    over_prefix: tuple[int, ...] = ()
    bare_calls: tuple[int, ...] = ()
    flags_free: bool = True
    scratch: tuple[str, ...] = ()

    @cached_property
    def insns(self) -> Code:
        """The function, decoded when first asked for."""
        return decode_function(self.image, self.function)


class JumpKind(enum.Enum):
    """The two halves of a non-local jump."""

    SETJMP = "setjmp"
    LONGJMP = "longjmp"


@dataclass(frozen=True, slots=True)
class JumpShape:
    """A function that saves, or restores, the callee-saved registers and SP in a buffer of its caller.

    ``register`` holds the buffer's address at ``entry``; ``touches`` are the (offset, size in bytes) it stores to or
    loads from there, sorted.  Callers of it may use more of the buffer (a signal mask)."""

    function: Function
    kind: JumpKind
    entry: int
    register: str
    touches: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Survey:
    """The census of one image.

    Every function is in ``bodies`` or in ``left_out`` (by start).  ``groups``: starts of functions that must be
    instrumented all or none.  ``jumps``: setjmp and longjmp by what they do; ``switches``: functions that load SP from
    memory or another's register in any other way, or start a thread.  Both may be code no function covers; where they
    are functions they are in ``left_out`` as well.  ``decoded``: instructions looked at; ``understood``: those whose
    meaning was needed; ``seconds``: CPU time of this thread.
    """

    bodies: dict[int, Body]
    left_out: dict[int, SiteOut]
    groups: tuple[frozenset[int], ...]
    jumps: dict[int, JumpShape]
    switches: dict[int, SiteOut]
    decoded: int
    understood: int
    seconds: float
