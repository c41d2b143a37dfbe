"""Plain frame-pointer walk: it believes what it finds and stops silently where it cannot go on.

Equation, for a frame record at FP::

    (ra, fp) = ([fp + 8], [fp])

Source: Linux v6.13 arch/arm64/kernel/stacktrace.c (kunwind_next_frame_record, without the reliable
variant's checks) and, for the shape of the frame, arch/x86/kernel/unwind_frame.c.  A record {0, 0} is a
metadata record: FINAL ends the walk, PT_REGS continues at the interrupted pc.  The link register after an
exception is ignored, so an interrupted leaf's caller is skipped: that is the faithful result.  Which stacks it may walk
over: see ``kunwind``.
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, NOWHERE, Cursor, Mem, Regs, StepResult, Unwinder, load64, stack_of, strip
from lab.unwind.kunwind import PT_REGS, RECORD, WITH_TYPE, lies_on, may_move


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(fp, lowest address not yet passed, the stack at hand and the one left before it: 0 while there is none)."""
    return regs.fp, 0, 0, 0


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One record; END wherever the kernel's plain walk stops without a word."""
    fp, low, stack, left = cursor
    here = lies_on(mem, fp, RECORD)
    if fp & 7 or here == 0:
        return END, 0, cursor
    if here != stack:
        if not may_move(mem, here, stack, left):
            return END, 0, cursor
        left = stack
    elif fp < low:
        return END, 0, cursor
    next_fp = load64(mem, fp)
    ra = load64(mem, fp + 8)
    if next_fp == 0 and ra == 0:
        if mem.metadata_offset == 0 or lies_on(mem, fp, WITH_TYPE) == 0 or load64(mem, fp + 16) != PT_REGS:
            return END, 0, cursor
        regs = fp - mem.metadata_offset
        if stack_of(mem, regs) != here or (here == stack and regs < low):
            return END, 0, cursor
        after = load64(mem, regs + mem.regs_fp_offset)
        return FRAME, load64(mem, regs + mem.regs_pc_offset), (after, fp + WITH_TYPE, here, left)
    return FRAME, strip(mem, ra), (next_fp, fp + RECORD, here, left)


UNWINDER = Unwinder(
    "fp",
    "plain frame-pointer walk",
    "Linux v6.13 arm64 stacktrace.c, x86 unwind_frame.c",
    start,
    step,
    resumes=(NOWHERE, 0, 1),
)
