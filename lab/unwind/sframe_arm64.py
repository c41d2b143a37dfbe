"""What revisions 5 and 6 of the arm64 series "unwind: arm64: Use sframe to unwind interrupt frames" share.

A frame by SFrame, for registers (pc, sp, fp, lr)::

    CFA = (SP or FP) + offset      ra = LR where the row keeps it there, else [CFA + n]      fp = FP or [CFA + m]

It is rejected where FP is not aligned, where there is no row, where the CFA is FP-based and FP is below SP, where a bit
of the revision's alignment mask is set in the CFA, and where a word to be read is not on what is left of a stack.  The
word of the return address is consumed, that of FP is not.

A pt_regs or frame record is consumed as by the kernel's own walk (``kunwind``).

Source: revision 5 (patch 8 of 8, 28 April 2026) and revision 6 (patch 9 of 9, 19 May 2026) as posted to
live-patching@vger.kernel.org, arch/arm64/kernel/stacktrace.c.  Both throw away what the walk returns
(arch_stack_walk_reliable), so that every failure ends the trace as if it were whole.  The series reads SFrame version
3; the rows here are those of version 2, which says the same of such code, but marks no outermost frame."""

from __future__ import annotations

from lab.metadata.rules import CfaBase, Field, Format, FpPlace, RaPlace
from lab.unwind.api import END, FRAME, Cursor, Mem, load64, rule_word, strip
from lab.unwind.by_rule import cfa_of, refusal
from lab.unwind.kunwind import FINAL, PT_REGS, RECORD, WITH_TYPE, reach

REJECTED = 0x80
"""Beside FRAME, END and PT_REGS: -EINVAL."""


def by_sframe(mem: Mem, row: int, registers: Cursor, place: Cursor, mask: int) -> tuple[int, int, int, Cursor]:
    """(FRAME, ra, CFA, the next place) by *row*; (END, ...) where it says outermost; (REJECTED, ...).  *registers*: sp,
    lr, and 1 where LR is that of an interrupted context.  A place: (fp, lowest address not yet passed, the stack at
    hand and the one left before it)."""
    sp, lr, with_regs = registers
    fp, low, stack, left = place
    if fp & 7:
        return REJECTED, 0, 0, place
    said = refusal(mem, Format.SFRAME, row)
    if said == END:
        return END, 0, 0, place
    on_fp = rule_word(mem, Format.SFRAME, row, Field.CFA_BASE) == CfaBase.FP
    if said != FRAME or (on_fp and fp < sp):
        return REJECTED, 0, 0, place
    cfa = cfa_of(mem, Format.SFRAME, row, sp, fp)
    if cfa & mask != 0:
        return REJECTED, 0, 0, place
    if rule_word(mem, Format.SFRAME, row, Field.FP_PLACE) == FpPlace.CFA:
        slot = cfa + rule_word(mem, Format.SFRAME, row, Field.FP_OFFSET)
        if reach(mem, slot, 8, place) == 0:
            return REJECTED, 0, 0, place
        fp = load64(mem, slot)
    if rule_word(mem, Format.SFRAME, row, Field.RA_PLACE) == RaPlace.LR:
        said = FRAME if with_regs != 0 else REJECTED
        return said, strip(mem, lr), cfa, (fp, low, stack, left)
    slot = cfa + rule_word(mem, Format.SFRAME, row, Field.RA_OFFSET)
    here = reach(mem, slot, 8, place)
    if here == 0:
        return REJECTED, 0, 0, place
    gone = left if here == stack else stack
    return FRAME, strip(mem, load64(mem, slot)), cfa, (fp, slot + 8, here, gone)


def by_record(mem: Mem, place: Cursor) -> tuple[int, int, int, Cursor]:
    """(FRAME or PT_REGS, ra, the address of pt_regs or 0, the next place) for the record at a place; (END, ...) at
    FINAL, (REJECTED, ...) at every failure."""
    fp, _, stack, left = place
    here = reach(mem, fp, RECORD, place)
    if fp & 7 or here == 0:
        return REJECTED, 0, 0, place
    after = load64(mem, fp)
    ra = load64(mem, fp + 8)
    if ra == 0 and after == 0:
        return by_type(mem, place)
    return FRAME, strip(mem, ra), 0, (after, fp + RECORD, here, left if here == stack else stack)


def by_type(mem: Mem, place: Cursor) -> tuple[int, int, int, Cursor]:
    """The same by the third word at FP alone, as if a metadata record lay there."""
    fp, _, stack, left = place
    if reach(mem, fp, WITH_TYPE, place) == 0:
        return REJECTED, 0, 0, place
    kind = load64(mem, fp + RECORD)
    if kind == FINAL and fp == mem.final_record:
        return END, 0, 0, place
    regs = fp - mem.metadata_offset
    here = reach(mem, regs, mem.metadata_offset + WITH_TYPE, place)
    if kind != PT_REGS or here == 0:
        return REJECTED, 0, 0, place
    after = load64(mem, regs + mem.regs_fp_offset)
    then = (after, fp + WITH_TYPE, here, left if here == stack else stack)
    return PT_REGS, load64(mem, regs + mem.regs_pc_offset), regs, then
