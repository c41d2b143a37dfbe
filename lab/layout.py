"""What a rewriter and an unwinder must both know, and nothing else: where the return address is.

A rewriter writes a ShadowLayout into its RewriteMap; the unwinder side turns the rows into a per-pc
table.  Neither side imports the other.  The map is saved beside the image as JSON
(``IMAGE.rewrite.json``) so that a rewritten image can be judged later, and by others.
"""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab.errors import InputError

MAP_SCHEMA = 1
MAP_SUFFIX = ".rewrite.json"
#: The section in which a rewriter puts code of its own.
NEW_TEXT = ".text.unwindlab"


class Flavour(enum.Enum):
    """How the shadow stack is reached."""

    REGISTER = "register"  # pointer in a reserved register (x18)
    PARALLEL = "parallel"  # at a constant distance below the stack: no pointer at all
    MEMORY = "memory"  # pointer in a memory cell


class Policy(enum.Enum):
    """What the pop does with the shadow value."""

    RECORD = "record"  # nothing: the shadow stack is for unwinders only
    USE = "use"  # return through it
    CHECK = "check"  # compare with the ordinary return address, trap on a difference


class Leaves(enum.Enum):
    """What happens to functions that make no call, or never let go of their return address."""

    ALL = "all"  # instrumented like every other
    SKIP = "skip"  # left alone, as compilers' own shadow call stacks do


class Region(enum.Enum):
    """Whose code an address is.  ``handler`` is the lab's small kernel, handlers and scheduler."""

    ORIGINAL = "original"
    INSERTED = "inserted"  # written into a sled, in line
    TRAMPOLINE = "trampoline"  # out of line, in the segment the rewriter added
    HANDLER = "handler"
    MOVED = "moved"  # a function's body at its new place, with the sequences in line
    DEAD = "dead"  # what a moved function left behind: traps


class Where(enum.Enum):
    """Where the innermost function's return address is *before* the instruction at an address executes."""

    LR = "lr"  # in the link register, not on the shadow stack
    STACK = "stack"  # at [SP + offset], not on the shadow stack (x86-64 around a call's landing)
    SHADOW = "shadow"  # on top of the shadow stack
    OUTERMOST = "outermost"  # the program's entry: nobody to return to
    UNKNOWN = "unknown"  # the rewriter cannot tell; ``reason`` says why


@dataclass(frozen=True, slots=True)
class LayoutRow:
    """[start, end) of addresses that share one answer.  ``offset`` (bytes) belongs to Where.STACK."""

    start: int
    end: int
    where: Where
    offset: int = 0
    reason: str = ""


@dataclass(frozen=True)
class ShadowLayout:
    """The shadow stack of one rewritten image.  Entries are 8-byte return addresses, growing upwards.

    ``flavour`` says how it is reached, ``name`` which flavour file's sequences fill it.

    ``register`` (Flavour.REGISTER) or ``cell`` (Flavour.MEMORY: address of the pointer) holds the address
    one past the newest entry.  ``distance`` (Flavour.PARALLEL, bytes): the entry of a return address whose
    caller had SP = s at the call lies at s - distance on AArch64 (s is also SP at entry) and at
    s - 8 - distance on x86-64 (s - 8 is the slot the call pushed).  ``base`` is the address of the first
    entry and ``limit`` one past the last; for PARALLEL both are 0: the machine's stack decides.
    ``provider`` says who makes the storage: ``image`` (the rewriter's entry stub) or ``environment``.
    """

    flavour: Flavour
    name: str
    policy: Policy
    register: str | None
    cell: int | None
    distance: int | None
    base: int
    limit: int
    provider: str
    rows: tuple[LayoutRow, ...]


@dataclass(frozen=True, slots=True)
class InsertedRange:
    """[start, end) of code the rewriter wrote.  ``function`` is the function whose site it serves ("" = entry stub)."""

    start: int
    end: int
    region: Region
    function: str


@dataclass(frozen=True, slots=True)
class Carried:
    """Original code [old, old + old_size) that now stands at [new, new + new_size).

    Equal sizes and equal bytes for a run of instructions carried unchanged; an instruction that had to be encoded
    anew (because it is relative to its own address) is a Carried of its own."""

    old: int
    new: int
    old_size: int
    new_size: int


@dataclass(frozen=True, slots=True)
class Patched:
    """[address, address + size) of the original image names ``new`` where it named ``old``: the target of a call or
    jump that stays, a pointer or jump-table entry in data, an address formed by code, or the unwind tables."""

    address: int
    size: int
    old: int
    new: int


@dataclass(frozen=True)
class SiteOut:
    """A site or function left out of the rewrite, and why.  Nothing is ever skipped without one of these."""

    function: str
    address: int
    reason: str


@dataclass(frozen=True)
class Census:
    """How much of the image is instrumented.  ``scan`` scores finding the sites without the compiler's records.

    ``calling`` functions make a call, ``calling_instrumented`` of them have a shadow entry.  ``decoded`` instructions
    were looked at, ``understood`` ones had to be: what a tool has to know of code that others wrote (row 49 of the
    field guide)."""

    functions: int
    instrumented: int
    sites: int
    inline: int
    out_of_line: int
    left_out: tuple[SiteOut, ...]
    scan: dict[str, Any] = field(default_factory=dict)
    calling: int = 0
    calling_instrumented: int = 0
    decoded: int = 0
    understood: int = 0


@dataclass(frozen=True)
class RewriteMap:
    """Everything about one rewrite that outlives it.  Bodies do not move in NOP-fill modes: old pc = new pc.

    ``carried`` is empty there; elsewhere it lists every original instruction that executes at another address, and
    ``patched`` what stays in place and names another one.
    ``leaves`` says whether functions that make no call have a shadow entry too."""

    mode: str
    arch: str
    source_sha256: str
    output_sha256: str
    layout: ShadowLayout
    inserted: tuple[InsertedRange, ...]
    census: Census
    checks: dict[str, Any]
    carried: tuple[Carried, ...] = ()
    patched: tuple[Patched, ...] = ()
    leaves: Leaves = Leaves.ALL

    def region(self, pc: int) -> Region:
        """Whose code *pc* is (linear: use RegionIndex in a hot path)."""
        for piece in self.inserted:
            if piece.start <= pc < piece.end:
                return piece.region
        return Region.ORIGINAL

    def to_json(self) -> str:
        """The map as JSON text with a schema number."""
        plain = {"schema": MAP_SCHEMA, **asdict(self)}
        return json.dumps(plain, indent=1, default=_plain) + "\n"

    @staticmethod
    def from_json(text: str, where: str) -> RewriteMap:
        """The inverse of to_json; InputError naming *where* if the text is not such a map."""
        from pydantic import TypeAdapter, ValidationError  # imported here: the command line's help needs no map

        try:
            raw = json.loads(text)
            if raw.pop("schema") != MAP_SCHEMA:
                raise InputError(f"{where}: rewrite map of another schema; rewrite the image again")
            found: RewriteMap = TypeAdapter(RewriteMap).validate_json(json.dumps(raw), strict=True)
            problem = found.problem()
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            raise InputError(f"{where}: not a rewrite map ({problem}); rewrite the image again")
        return found

    def problem(self) -> str:
        """What makes this map unusable although every field has its type ("" = nothing)."""
        layout = self.layout
        needed = {
            Flavour.REGISTER: layout.register,
            Flavour.PARALLEL: layout.distance,
            Flavour.MEMORY: layout.cell,
        }
        given = (layout.register, layout.distance, layout.cell)
        if needed[layout.flavour] is None or sum(value is not None for value in given) != 1:
            return f"a {layout.flavour.value} shadow stack is reached in one way, its own"
        if not 0 <= layout.base <= layout.limit < 1 << 64 or not 0 <= (layout.cell or 0) < 1 << 64:
            return "the shadow stack's storage is no range of addresses"
        rows = layout.rows
        ranges = [(p.start, p.end) for p in rows] + [(p.start, p.end) for p in self.inserted]
        ranges += [(c.old, c.old + c.old_size) for c in self.carried]
        ranges += [(p.address, p.address + p.size) for p in self.patched]
        ranges += [(c.new, c.new + c.new_size) for c in self.carried]
        if any(not 0 <= start < end < 1 << 64 for start, end in ranges):
            return "a range ends before it starts"
        if any(left.end > right.start for left, right in pairwise(rows)):
            return "layout rows overlap"
        return ""


def map_path(image: Path) -> Path:
    """Where the map of *image* lies: beside it."""
    return image.with_name(image.name + MAP_SUFFIX)


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"not JSON: {value!r}")
