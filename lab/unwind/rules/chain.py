"""The frame records beside a walk: what rules that ask about frames keep in their words.

``low`` begins at SP, so that nothing below the exception's E is ever read.  A record is passed when the unwinder
reports the address it holds::

    (fp, low) -> ([fp], fp + 16)  if strip([fp + 8]) = ra

Frames that come from elsewhere (LR, a rule, a shadow stack ahead of the records) leave the chain where it is.  The
stack that ``low`` is on is left only from or to the IRQ stack, as the kernels' walks do.

Source: Linux v6.13 arch/arm64/include/asm/stacktrace/frame.h and arch/x86/include/asm/frame.h
(ENCODE_FRAME_POINTER: a pt_regs is pointed at with bit 0 set); for the end of the stack arch/arm64/kernel/stacktrace.c
and arch/x86/kernel/unwind_frame.c.
"""

from __future__ import annotations

from lab.unwind.api import Mem, load64, stack_of, strip
from lab.unwind.kunwind import FINAL, PT_REGS, RECORD, WITH_TYPE, lies_on
from lab.unwind.x86_frames import CS, USER, ends


def readable(mem: Mem, address: int, size: int, low: int) -> bool:
    """Whether [address, address + size) is whole on a stack that the chain may be on, and not passed already."""
    here = lies_on(mem, address, size)
    stack = stack_of(mem, low - 8)
    if here in (0, stack):
        return here != 0 and address >= low
    return stack == 0 or mem.irq_low in (here, stack)


def record(mem: Mem, fp: int, low: int) -> bool:
    """Whether two words may be read at *fp*: aligned, not passed, on a stack."""
    return fp & 7 == 0 and readable(mem, fp, RECORD, low)


def meta(mem: Mem, fp: int, low: int) -> int:
    """The type word of a metadata record {0, 0, type} at *fp*; 0 where there is none."""
    if not record(mem, fp, low) or lies_on(mem, fp, WITH_TYPE) == 0:
        return 0
    if load64(mem, fp) != 0 or load64(mem, fp + 8) != 0:
        return 0
    return load64(mem, fp + 16)


def pt_regs(mem: Mem, fp: int, low: int) -> int:
    """The address of the pt_regs that *fp* stands for, 0 where it stands for none.  The task's own, at the end of its
    stack, are no exception's in the kernel: arm64 has a FINAL record there, and x86 looks at their address."""
    if mem.metadata_offset == 0:
        regs = fp - 1
        met = fp & 7 == 1 and regs != mem.task_regs and readable(mem, regs, mem.regs_pc_offset + 16, low)
        return regs if met else 0
    return fp - mem.metadata_offset if meta(mem, fp, low) == PT_REGS else 0


def at_end(mem: Mem, fp: int, low: int) -> bool:
    """Whether *fp* stands at the end of the task's stack: at its own FINAL record (arm64); at
    what its last frame links to, or at pt_regs of user mode (x86-64)."""
    if mem.metadata_offset != 0:
        return fp == mem.final_record and meta(mem, fp, low) == FINAL
    regs = pt_regs(mem, fp, low)
    return ends(mem, fp) or (regs != 0 and load64(mem, regs + CS) & USER == USER)


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
