"""The x86 kernel's reliable frame-pointer walk.

Equation: see ``x86_frames``.  Against the plain walk it refuses

* pt_regs of the kernel: an exception may have come where no frame was complete; so in ``boundary`` it refuses
  everywhere;
* every error of the walk, and a return address outside code.

Source: Linux v6.13 arch/x86/kernel/stacktrace.c (arch_stack_walk_reliable) and unwind_frame.c.
"""

from __future__ import annotations

from lab.unwind.api import (
    BOUNDARY,
    FRAME,
    GOES_ON,
    NOWHERE,
    Cursor,
    Mem,
    Reason,
    Regs,
    StepResult,
    Unwinder,
    is_text,
)
from lab.unwind.x86_frames import next_frame

_WALK, _MET, _ALLOWED = 0, 1, 2
"""States: walking; at a pt_regs; at one that is to be gone on from."""


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(state, bp, lowest address not yet passed, the stack at hand: 0 while there is none)."""
    return (_MET if mode == BOUNDARY else _WALK), regs.fp, 0, 0


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame, or the kernel's -EINVAL as a Reason."""
    state, bp, low, stack = cursor
    if state == _MET:
        return Reason.REGS_FRAME | GOES_ON, 0, (_ALLOWED if bp & 1 else _WALK, bp, low, stack)
    status, ra, after = next_frame(mem, (bp, low, stack))
    if status != FRAME:
        return status, 0, cursor
    if bp & 1 and state != _ALLOWED:
        return Reason.REGS_FRAME | GOES_ON, 0, (_ALLOWED, bp, low, stack)
    if not is_text(mem, ra):
        return Reason.NOT_TEXT, 0, cursor
    return FRAME, ra, (_WALK, after[0], after[1], after[2])


UNWINDER = Unwinder(
    "fp-x86-reliable",
    "x86 reliable frame-pointer walk",
    "Linux v6.13 arch/x86/kernel/stacktrace.c, unwind_frame.c",
    start,
    step,
    arches=frozenset({"x86_64"}),
    resumes=(NOWHERE, 1, 2),
)
