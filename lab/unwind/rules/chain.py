"""The frame records beside a walk: what rules that ask about frames keep in their words.

``low`` begins at SP, so that nothing below the exception's E is ever read.  A record is passed when the unwinder
reports the address it holds::

    (fp, low) -> ([fp], fp + 16)  if strip([fp + 8]) = ra

Frames that come from elsewhere (LR, a rule, a shadow stack ahead of the records) leave the chain where it is.

Source: Linux v6.13 arch/arm64/include/asm/stacktrace/frame.h and arch/x86/include/asm/frame.h
(ENCODE_FRAME_POINTER: a pt_regs is pointed at with bit 0 set).
"""

from __future__ import annotations

from lab.unwind.api import Mem, load64, on_stack, strip

FINAL, PT_REGS = 1, 2


def record(mem: Mem, fp: int, low: int) -> bool:
    """Whether two words may be read at *fp*: aligned, not passed, on the stack."""
    return fp & 7 == 0 and fp >= low and on_stack(mem, fp, 16)


def meta(mem: Mem, fp: int, low: int) -> int:
    """The type word of a metadata record {0, 0, type} at *fp*; 0 where there is none."""
    if not record(mem, fp, low) or not on_stack(mem, fp, 24):
        return 0
    if load64(mem, fp) != 0 or load64(mem, fp + 8) != 0:
        return 0
    return load64(mem, fp + 16)


def pt_regs(mem: Mem, fp: int, low: int) -> int:
    """The address of the pt_regs that *fp* stands for, 0 where it stands for none.  The task's own, at the end of its
    stack, are no exception's in the kernel: arm64 has a FINAL record there, and x86 looks at their address."""
    if mem.metadata_offset == 0:
        regs = fp - 1
        met = fp & 7 == 1 and regs >= low and regs != mem.task_regs and on_stack(mem, regs, mem.regs_pc_offset + 16)
        return regs if met else 0
    return fp - mem.metadata_offset if meta(mem, fp, low) == PT_REGS else 0


def passed(mem: Mem, fp: int, low: int, ra: int) -> tuple[int, int]:
    """(fp, low) after the unwinder reported *ra*."""
    regs = pt_regs(mem, fp, low)
    if regs != 0:
        if load64(mem, regs + mem.regs_pc_offset) != ra:
            return fp, low
        return load64(mem, regs + mem.regs_fp_offset), regs + mem.regs_pc_offset + 16
    if not record(mem, fp, low) or strip(mem, load64(mem, fp + 8)) != strip(mem, ra):
        return fp, low
    return load64(mem, fp), fp + 16
