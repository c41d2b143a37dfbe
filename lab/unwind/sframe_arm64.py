"""What revisions 5 and 6 of the arm64 series "unwind: arm64: Use sframe to unwind interrupt frames" share.

A frame by SFrame, for registers (pc, sp, fp, lr)::

    CFA = (SP or FP) + offset      ra = LR where the row keeps it there, else [CFA + n]      fp = FP or [CFA + m]

It is rejected where there is no row; where the CFA is FP-based and FP is below SP; and where CFA & 0x15 is not 0.
That was meant as a test for 16-byte alignment: it rejects every CFA with bit 0, 2 or 4 set, which is half of all
aligned ones, and accepts those that are 8 modulo 32.

Source: the series' review threads (linux-arm-kernel, April and May 2026) as far as they quote the code; the field
guide's section 2.  That the walk's return code is not looked at, so that every failure ends the trace as if it were
whole, is derived there, not observed."""

from __future__ import annotations

from lab.metadata.rules import CfaBase, Field, Format, RaPlace
from lab.unwind.api import END, FRAME, Cursor, Mem, load64, rule_word, strip
from lab.unwind.by_rule import cfa_of, fp_of, ra_of, refusal
from lab.unwind.kunwind import PT_REGS, RECORD, WITH_TYPE, kind_of, lies_on, may_move

MISALIGNED = 0x15
REJECTED = 0x80
"""Beside FRAME and END: go on by frame record."""


def by_sframe(mem: Mem, row: int, registers: Cursor) -> tuple[int, int, int, int]:
    """(FRAME, ra, caller's fp, CFA); (END, ...) where the row says outermost; (REJECTED, ...)."""
    sp, fp, lr = registers
    said = refusal(mem, Format.SFRAME, row)
    if said == END:
        return END, 0, 0, 0
    based_on_fp = rule_word(mem, Format.SFRAME, row, Field.CFA_BASE) == CfaBase.FP
    if said != FRAME or (based_on_fp and fp < sp):
        return REJECTED, 0, 0, 0
    cfa = cfa_of(mem, Format.SFRAME, row, sp, fp)
    if cfa & MISALIGNED != 0:
        return REJECTED, 0, 0, 0
    in_lr = rule_word(mem, Format.SFRAME, row, Field.RA_PLACE) == RaPlace.LR
    in_memory = rule_word(mem, Format.SFRAME, row, Field.FP_PLACE) != 0
    if (not in_lr or in_memory) and lies_on(mem, cfa - RECORD, RECORD) == 0:
        return REJECTED, 0, 0, 0
    return FRAME, ra_of(mem, Format.SFRAME, row, cfa, lr), fp_of(mem, Format.SFRAME, row, cfa, fp), cfa


def by_record(mem: Mem, place: Cursor) -> tuple[int, int, int, Cursor]:
    """(FRAME or PT_REGS, ra, the next fp or the address of pt_regs, the next place) for the record at a place:
    (fp, lowest address not yet passed, the stack at hand and the one left before it).  (END, ...) at FINAL and at every
    failure."""
    fp, low, stack, left = place
    here = lies_on(mem, fp, RECORD)
    if fp & 7 or here == 0 or (here == stack and fp < low):
        return END, 0, 0, place
    if here != stack:
        if not may_move(mem, here, stack, left):
            return END, 0, 0, place
        left = stack
    ra = load64(mem, fp + 8)
    after = load64(mem, fp)
    if ra != 0 or after != 0:
        return FRAME, strip(mem, ra), after, (after, fp + RECORD, here, left)
    if kind_of(mem, fp) != PT_REGS:
        return END, 0, 0, place
    regs = fp - mem.metadata_offset
    after = load64(mem, regs + mem.regs_fp_offset)
    return PT_REGS, load64(mem, regs + mem.regs_pc_offset), regs, (after, fp + WITH_TYPE, here, left)
