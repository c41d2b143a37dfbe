"""Plain frame-pointer walk: it believes what it finds and stops silently where it cannot go on.

Equation, for a frame record at FP::

    (ra, fp) = ([fp + 8], [fp])

Source: Linux v6.13 arch/arm64/kernel/stacktrace.c (kunwind_next_frame_record, without the reliable
variant's checks) and, for the shape of the frame, arch/x86/kernel/unwind_frame.c.  A record {0, 0} is a
metadata record: FINAL ends the walk, PT_REGS continues at the interrupted pc.  The link register after an
exception is ignored, so an interrupted leaf's caller is skipped: that is the faithful result.
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, Cursor, Mem, Regs, StepResult, Unwinder, load64, on_stack, strip

PT_REGS = 2


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(fp, lowest address not yet passed)."""
    return regs.fp, 0


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One record; END wherever the kernel's plain walk stops without a word."""
    fp, low = cursor
    if fp & 7 or fp < low or not on_stack(mem, fp, 16):
        return END, 0, cursor
    next_fp = load64(mem, fp)
    ra = load64(mem, fp + 8)
    if next_fp == 0 and ra == 0:
        if mem.metadata_offset == 0 or not on_stack(mem, fp, 24) or load64(mem, fp + 16) != PT_REGS:
            return END, 0, cursor
        regs = fp - mem.metadata_offset
        return FRAME, load64(mem, regs + mem.regs_pc_offset), (load64(mem, regs + mem.regs_fp_offset), fp + 24)
    return FRAME, strip(mem, ra), (next_fp, fp + 16)


UNWINDER = Unwinder("fp", "plain frame-pointer walk", "Linux v6.13 arm64 stacktrace.c, x86 unwind_frame.c", start, step)
