"""The x86 kernel's frame-pointer walk, as backtraces use it: it stops without a word where it cannot go on.

Equation: see ``x86_frames``.  After an exception the return address on top of the stack is not looked for, so the
caller of a function whose frame is not complete is skipped.

Source: Linux v6.13 arch/x86/kernel/unwind_frame.c.
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, NOWHERE, Cursor, Mem, Regs, StepResult, Unwinder, is_text
from lab.unwind.x86_frames import next_frame


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(bp, lowest address not yet passed, the stack at hand: 0 while there is none)."""
    return regs.fp, 0, 0


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame, or the end."""
    status, ra, after = next_frame(mem, cursor)
    if status != FRAME or not is_text(mem, ra):
        return END, 0, cursor
    return FRAME, ra, after


UNWINDER = Unwinder(
    "fp-x86",
    "x86 frame-pointer walk with encoded pt_regs",
    "Linux v6.13 arch/x86/kernel/unwind_frame.c",
    start,
    step,
    arches=frozenset({"x86_64"}),
    resumes=(NOWHERE, 0, 1),
)
