"""The arm64 kernel's reliable frame-pointer walk (arch_stack_walk_reliable).

Equation, for a frame record at FP::

    (ra, fp) = ([fp + 8], [fp])

Source: Linux v6.17 arch/arm64/kernel/stacktrace.c, the first with this walk; the metadata records are of v6.13.
Against the plain walk it refuses

* an entry that came from a pt_regs' pc: a walk that starts from registers refuses at its first entry,
  because whether the link register was live at the exception is unknown;
* FP that is not 8-byte aligned, not on a known stack, or inside what was already passed, and a pt_regs that is not
  whole on what is left of a stack (-EINVAL);
* a metadata record {0, 0} that is neither PT_REGS nor FINAL, and a FINAL record anywhere but in the
  task's own pt_regs.

So in ``boundary`` it refuses everywhere; its informative stops are ``call`` and a blocked task.
"""

from __future__ import annotations

from lab.unwind.api import (
    BOUNDARY,
    END,
    FRAME,
    GOES_ON,
    NOWHERE,
    Cursor,
    Mem,
    Reason,
    Regs,
    StepResult,
    Unwinder,
    load64,
    stack_of,
    strip,
)
from lab.unwind.kunwind import FINAL, PT_REGS, RECORD, WITH_TYPE, lies_on, may_move


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(1 while the entry to be consumed came from pt_regs, fp, lowest address not yet passed, the stack at hand and the
    one left before it: 0 while there is none)."""
    return (1 if mode == BOUNDARY else 0), regs.fp, 0, 0, 0


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One record, or the kernel's -EINVAL as a Reason."""
    from_regs, fp, low, stack, left = cursor
    if from_regs:
        return Reason.EXCEPTION | GOES_ON, 0, (0, fp, low, stack, left)
    if fp & 7:
        return Reason.FP_UNALIGNED, 0, cursor
    here = lies_on(mem, fp, RECORD)
    if here == 0:
        return Reason.FP_OFF_STACK, 0, cursor
    if here != stack:
        if not may_move(mem, here, stack, left):
            return Reason.FP_OFF_STACK, 0, cursor
        left = stack
    elif fp < low:
        return Reason.FP_CONSUMED, 0, cursor
    next_fp = load64(mem, fp)
    ra = load64(mem, fp + 8)
    if next_fp != 0 or ra != 0:
        return FRAME, strip(mem, ra), (0, next_fp, fp + RECORD, here, left)
    if lies_on(mem, fp, WITH_TYPE) == 0:
        return Reason.FP_OFF_STACK, 0, cursor
    kind = load64(mem, fp + 16)
    if kind == FINAL and fp == mem.final_record:
        return END, 0, cursor
    if kind == PT_REGS:
        regs = fp - mem.metadata_offset
        if stack_of(mem, regs) != here or (here == stack and regs < low):
            return Reason.FP_OFF_STACK, 0, cursor
        pc = load64(mem, regs + mem.regs_pc_offset)
        return FRAME, pc, (1, load64(mem, regs + mem.regs_fp_offset), fp + WITH_TYPE, here, left)
    return Reason.BAD_METADATA, 0, cursor


UNWINDER = Unwinder(
    "fp-reliable",
    "arm64 reliable frame-pointer walk",
    "Linux v6.17 arch/arm64/kernel/stacktrace.c",
    start,
    step,
    arches=frozenset({"aarch64"}),
    resumes=(NOWHERE, 1, 2),
)
