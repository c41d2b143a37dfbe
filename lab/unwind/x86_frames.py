"""What the x86 kernel's two frame-pointer walks share: frames, and pt_regs that BP points at with bit 0 set.

Equation::

    (ra, bp) = ([bp + 8], [bp])                      a frame
    (ra, bp) = (regs->ip, regs->bp), regs = bp - 1   where bit 0 is set: an exception's pt_regs (ENCODE_FRAME_POINTER)

A frame that overlaps what was passed already on the same stack, or that lies on none, is an error.  The walk begins on
any stack; the IRQ stack it leaves for the one whose SP the IRQ stack's topmost word holds, and no other.  The end is
pt_regs of user mode, or the last frame of the task: the two words below the task's own pt_regs, or a copy of that frame
further down, which a compiler that realigns the stack has made (one word) or ftrace's entry code (three words).

Source: Linux v6.13 arch/x86/kernel/unwind_frame.c (update_stack_state, unwind_next_frame, is_last_task_frame),
dumpstack_64.c (in_irq_stack: next_sp).  What in_entry_code tells there is whether to warn, not what to report.
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, Cursor, Mem, Reason, StepResult, load64, stack_of
from lab.unwind.kunwind import RECORD, lies_on

REGS_SIZE, CS = 168, 136
USER = 3
"""Bits of CS that are set in user mode."""


def last_frame(mem: Mem, bp: int) -> bool:
    """Whether the frame at *bp* is the task's last one or a copy of it; its return address is still reported."""
    if mem.task_regs == 0:
        return False
    last = mem.task_regs - RECORD
    if bp == last - 8:
        return load64(mem, bp + 8) == load64(mem, last + 8)
    if bp == last - 24:
        return load64(mem, bp) == load64(mem, bp + 16) and load64(mem, bp + 8) == load64(mem, bp + 32)
    return bp == last


def ends(mem: Mem, bp: int) -> bool:
    """Whether nothing lies beyond *bp*: what the last frame links to; in an image without tasks the final record."""
    return bp == mem.task_regs + 1 if mem.task_regs != 0 else bp == mem.final_record


def moves(mem: Mem, here: int, stack: int) -> bool:
    """Whether a walk on *stack* (0: on none yet) may go on on the stack *here*."""
    if stack == 0:
        return True
    return stack == mem.irq_low and mem.irq_high != 0 and stack_of(mem, load64(mem, mem.irq_high - 8)) == here


def next_frame(mem: Mem, cursor: Cursor) -> StepResult:
    """The frame of a cursor (bp, lowest address not yet passed, the stack at hand: 0 while there is none); END, or a
    Reason for the walk's error."""
    bp, low, stack = cursor
    if ends(mem, bp):
        return END, 0, cursor
    at = bp & ~1
    size = REGS_SIZE if bp & 1 else RECORD
    here = lies_on(mem, at, size)
    if here == 0 or (here != stack and not moves(mem, here, stack)):
        return Reason.FP_OFF_STACK, 0, cursor
    if here == stack and at < low:
        return Reason.FP_CONSUMED, 0, cursor
    if bp & 1 == 0:
        after = mem.task_regs + 1 if last_frame(mem, bp) else load64(mem, at)
        return FRAME, load64(mem, at + 8), (after, at + size, here)
    if load64(mem, at + CS) & USER == USER:
        return END, 0, cursor
    return FRAME, load64(mem, at + mem.regs_pc_offset), (load64(mem, at + mem.regs_fp_offset), at + size, here)
