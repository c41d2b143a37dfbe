"""What an unwinder is made of.

An unwinder is two plain functions over unsigned 64-bit integers::

    start(mode, pc, regs) -> cursor               registers in, a fixed tuple of integers out
    step(mem, cursor) -> (status, ra, cursor)     one frame

``status`` is FRAME (``ra`` is one more return address), END (the stack ends here, and the trace is claimed
as reliable) or a Reason (refused: "I cannot vouch for this").  A Reason or'ed with GOES_ON says that the
walk can be continued from the returned cursor as if the refusal had not been made; the host uses that to
tell needless refusals from justified ones and never reports such a continuation.

``mode`` is BOUNDARY, CALL, INJECT (inside the guest's exception handler, with its own pc, sp and fp; LR is dead) or
BLOCKED (a task that is not running, from what the context switch saved; LR is 0, and ssp its shadow-stack pointer
wherever that is kept).  ``regs`` has the attributes pc, sp, fp, lr and ssp (the register kept for a
shadow-stack pointer; 0 where there is none), and hssp, the hardware's shadow-stack pointer (0 unless the unwinder
says ``hardware``).  ``mem`` gives the functions below, and facts of the image as attributes (see Mem).  Nothing else
may be read: no truth, no globals that change.  The same source runs in every engine, so write ``p = p + 8``
on integers and expect 64-bit wrap-around.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from lab.layout import Flavour, Where

FRAME = 0
END = 1
GOES_ON = 0x100
MASK64 = (1 << 64) - 1

BOUNDARY = 0
CALL = 1
INJECT = 2
BLOCKED = 3
NOWHERE = -1
"""No word of the cursor."""
MODES = {"boundary": BOUNDARY, "call": CALL, "inject": INJECT, "blocked": BLOCKED}


class Reason(enum.IntEnum):
    """Why an unwinder refuses.  A closed set; the value is the step's status."""

    BELOW_STACK = 2  # read memory that the exception entry has overwritten (said by the host)
    FP_UNALIGNED = 3
    FP_OFF_STACK = 4
    FP_CONSUMED = 5  # the record was already passed
    BAD_METADATA = 6  # metadata record of unknown type, or FINAL in the wrong place
    EXCEPTION = 7  # the trace begins at an exception boundary
    SHADOW_BOUNDS = 8  # shadow-stack pointer outside its storage
    SHADOW_EMPTY = 9  # fewer entries than live functions
    NOT_ON_SHADOW = 10  # a live function whose return address the shadow stack does not hold
    LAYOUT_UNKNOWN = 11  # the rewriter's layout does not say where the return address is
    LR_DEAD = 12  # the return address was in the link register, which a call has overwritten
    NO_ROW = 13  # the rule table says nothing about the address
    UNSUPPORTED_RULE = 14  # the rule table says something that no rule can hold
    END_UNDEFINED = 15  # the rule table says that nothing is known here
    BAD_CFA = 16  # the CFA is misaligned, does not rise, or is not on a known stack
    FP_MISMATCH = 17  # FP is not what the rule table makes of SP
    NOT_A_CALL = 18  # the instruction before a return address is no call
    REGS_FRAME = 19  # met a pt_regs of the kernel
    NOT_TEXT = 20  # a return address outside code
    SHADOW_MISMATCH = 21  # shadow stack and stack do not say the same
    TOO_MANY = 22  # more frames than the consumer has room for
    # said by rules (lab.unwind.rules)
    INTERRUPTED = 50  # the task's flag says that it was preempted at the end of an interrupt
    NOT_RECORDED = 52  # a tracer replaced the return address, and its return stack has none for the frame
    NOT_AT_END = 53  # the walk ended elsewhere than at the task's own FINAL record
    LR_MAY_BE_LIVE = 54  # the interrupted instruction lies where the return address may be in LR alone


class Regs(NamedTuple):
    """The registers an unwinder may start from (unsigned 64-bit)."""

    pc: int
    sp: int
    fp: int
    lr: int
    ssp: int
    hssp: int = 0


Cursor = tuple[int, ...]
StepResult = tuple[int, int, Cursor]


class Mem(Protocol):
    """What a step function is given.  Addresses and sizes are in bytes.

    ``stack_low`` and ``stack_high`` bound the stack at hand, that of SP when the walk begins: the task's or, in an
    interrupt's handler, the interrupt stack.  ``task`` is the struct of the task whose trace is wanted, ``task_regs``
    the task's own pt_regs, at the end of its stack, and ``task_flags`` the offset of its flags word; ``irq_low`` to
    ``irq_shadow_high`` the interrupt stack and its shadow stack.  ``task_trace`` is where function tracers keep the
    task's return addresses that they have replaced by those of their trampolines (``lab.unwind.rules.graph``).  But for
    the first two all of them are 0 in an image without tasks.
    """

    stack_low: int
    stack_high: int
    final_record: int
    metadata_offset: int
    regs_fp_offset: int
    regs_pc_offset: int
    regs_sp_offset: int
    regs_lr_offset: int
    pac_mask: int
    shadow_kind: int
    shadow_base: int
    shadow_limit: int
    shadow_cell: int
    shadow_distance: int
    hw_base: int
    hw_limit: int
    task: int
    task_flags: int
    task_regs: int
    irq_low: int
    irq_high: int
    irq_shadow_low: int
    irq_shadow_high: int
    task_ssp: int
    task_shadow_low: int
    task_shadow_high: int
    task_trace: int
    return_to_handler: int
    kretprobe_trampoline: int

    def load(self, address: int) -> int: ...
    def row(self, pc: int) -> tuple[int, int]: ...
    def rule(self, table: int, pc: int) -> int: ...
    def rule_word(self, table: int, row: int, field: int) -> int: ...
    def is_text(self, address: int) -> bool: ...
    def after_call(self, address: int) -> bool: ...
    def stack_of(self, address: int) -> tuple[int, int]: ...


SHADOW_NONE, SHADOW_REGISTER, SHADOW_PARALLEL, SHADOW_MEMORY = 0, 1, 2, 3
SHADOW_KINDS = {
    Flavour.REGISTER: SHADOW_REGISTER,
    Flavour.PARALLEL: SHADOW_PARALLEL,
    Flavour.MEMORY: SHADOW_MEMORY,
}
IN_LR, ON_STACK, ON_SHADOW, OUTERMOST, UNKNOWN = 0, 1, 2, 3, 4
WHERE_CODES = {
    Where.LR: IN_LR,
    Where.STACK: ON_STACK,
    Where.SHADOW: ON_SHADOW,
    Where.OUTERMOST: OUTERMOST,
    Where.UNKNOWN: UNKNOWN,
}


def load64(mem: Mem, address: int) -> int:
    """The 64-bit value at *address*.  Unmapped memory ends the walk as a crash, poison as a refusal."""
    return mem.load(address)


def on_stack(mem: Mem, address: int, size: int) -> bool:
    """Whether [address, address + size) lies on the stack at hand: that of SP when the walk began.  ``stack_of`` knows
    the others."""
    return mem.stack_low <= address <= mem.stack_high - size


def strip(mem: Mem, address: int) -> int:
    """*address* without its pointer-authentication code."""
    return address & ~mem.pac_mask


def where(mem: Mem, pc: int) -> int:
    """IN_LR, ON_STACK, ON_SHADOW, OUTERMOST or UNKNOWN for the instruction at *pc*, from the rewriter's layout."""
    return mem.row(pc)[0]


def where_offset(mem: Mem, pc: int) -> int:
    """For ON_STACK: the return address is at [SP + this]."""
    return mem.row(pc)[1]


def rule(mem: Mem, table: int, pc: int) -> int:
    """The number of the row of rule table *table* (``lab.metadata.rules.Format``) that holds *pc*; 0 where none does,
    and outside code.  The unwinder says in ``tables`` which tables it looks up."""
    return mem.rule(table, pc)


def rule_word(mem: Mem, table: int, row: int, field: int) -> int:
    """Word *field* (``lab.metadata.rules.Field``) of a row, signed ones as two's complement; 0 where there is none."""
    return mem.rule_word(table, row, field)


def is_text(mem: Mem, address: int) -> bool:
    """Whether *address* is in executable code of the image."""
    return mem.is_text(address)


def after_call(mem: Mem, address: int) -> bool:
    """Whether the instruction directly before *address* is a call, as its function is decoded from its start on."""
    return mem.after_call(address)


def stack_of(mem: Mem, address: int) -> int:
    """The lowest address of the guest stack that holds *address*; 0 where none does."""
    return mem.stack_of(address)[0]


def stack_end(mem: Mem, address: int) -> int:
    """The address after the guest stack that holds *address*; 0 where none does."""
    return mem.stack_of(address)[1]


@dataclass(frozen=True)
class Unwinder:
    """One design.  ``arches`` None means every architecture; ``needs_shadow`` that it only makes sense on
    images with a shadow stack; ``oracle`` that the engine answers with the truth (it checks the harness).

    ``tables``: the rule tables it looks up; no others are there.  ``hardware``: it reads the shadow stack that the
    hardware would keep.  ``resumes``: which words of its cursor are, after a frame, (the address to look up, NOWHERE
    where it looks up none; the caller's FP; on x86-64 the address after the return address).  ``cap``: it reports that
    many return addresses at most; where there is one more the walk ends with ``cap_status`` (END or a Reason) instead.
    0: no limit.
    """

    name: str
    title: str
    source: str
    start: Callable[[int, int, Regs], Cursor]
    step: Callable[[Any, Cursor], StepResult]
    arches: frozenset[str] | None = None
    needs_shadow: bool = False
    oracle: bool = False
    origin: str = ""
    tables: tuple[int, ...] = ()
    hardware: bool = False
    resumes: tuple[int, int, int] | None = None
    cap: int = 0
    cap_status: int = END

    def unsupported(self, arch: str, has_shadow: bool) -> str | None:
        """Why this design does not apply, or None where it does."""
        if self.arches is not None and arch not in self.arches:
            return f"{self.name} models {', '.join(sorted(self.arches))} only"
        if self.needs_shadow and not has_shadow:
            return f"{self.name} needs a shadow stack, and this proposal has none"
        return None
