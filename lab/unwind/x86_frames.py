"""What the x86 kernel's two frame-pointer walks share: frames, and pt_regs that BP points at with bit 0 set.

Equation::

    (ra, bp) = ([bp + 8], [bp])                      a frame
    (ra, bp) = (regs->ip, regs->bp), regs = bp - 1   where bit 0 is set: an exception's pt_regs (ENCODE_FRAME_POINTER)

A frame that overlaps what was passed already on the same stack, or that lies on none, is an error.  The end is the last
frame of the task, which links to the task's own pt_regs, or pt_regs of user mode.

Source: Linux v6.13 arch/x86/kernel/unwind_frame.c (update_stack_state, unwind_next_frame).
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, Cursor, Mem, Reason, StepResult, load64
from lab.unwind.kunwind import RECORD, lies_on, may_move

REGS_SIZE, CS = 168, 136
USER = 3
"""Bits of CS that are set in user mode."""


def next_frame(mem: Mem, cursor: Cursor) -> StepResult:
    """The frame of a cursor (bp, lowest address not yet passed, the stack at hand and the one left before it); END, or
    a Reason for the walk's error."""
    bp, low, stack, left = cursor
    if bp in (mem.final_record, mem.final_record - 8) or (mem.task_regs != 0 and bp == mem.task_regs + 1):
        return END, 0, cursor
    at = bp & ~1
    size = REGS_SIZE if bp & 1 else RECORD
    here = lies_on(mem, at, size)
    if here == 0 or (here != stack and not may_move(mem, here, stack, left)):
        return Reason.FP_OFF_STACK, 0, cursor
    if here == stack and at < low:
        return Reason.FP_CONSUMED, 0, cursor
    if here != stack:
        left = stack
    if bp & 1 == 0:
        return FRAME, load64(mem, at + 8), (load64(mem, at), at + size, here, left)
    if load64(mem, at + CS) & USER == USER:
        return END, 0, cursor
    return FRAME, load64(mem, at + mem.regs_pc_offset), (load64(mem, at + mem.regs_fp_offset), at + size, here, left)
