"""One frame by record, its FP compared with what metadata make of it: see ``fp_validated``."""

from __future__ import annotations

from lab.metadata.rules import CfaBase, Field, Format, FpPlace, Kind
from lab.unwind.api import (
    END,
    FRAME,
    GOES_ON,
    Cursor,
    Mem,
    Reason,
    StepResult,
    load64,
    rule,
    rule_word,
    stack_of,
    strip,
)
from lab.unwind.kunwind import FINAL, PT_REGS, RECORD, WITH_TYPE, kind_of, lies_on, may_move


def frame(mem: Mem, row: int, refused: int, state: Cursor) -> StepResult:
    """One frame with *row* and *state* (sp, fp, lowest address not yet passed, the stack at hand and the one left
    before it).  The cursor after it: (address to look up, 1 where *row* has been refused, state).  A FINAL record
    in its place is the end, whatever the row says."""
    sp, fp, low, stack, left = state
    if fp & 7:
        return Reason.FP_UNALIGNED, 0, (0, 1, sp, fp, low, stack, left)
    here = lies_on(mem, fp, RECORD)
    if here == 0 or (here != stack and not may_move(mem, here, stack, left)):
        return Reason.FP_OFF_STACK, 0, (0, 1, sp, fp, low, stack, left)
    if here == stack and fp < low:
        return Reason.FP_CONSUMED, 0, (0, 1, sp, fp, low, stack, left)
    after = load64(mem, fp)
    ra = load64(mem, fp + 8)
    meta = after == 0 and ra == 0
    kind = kind_of(mem, fp) if meta else 0
    if kind == FINAL:
        return END, 0, (0, 1, 0, 0, 0, 0, 0)
    cfa = cfa_of_record(mem, row, sp, fp)
    if refused == 0 and kind != PT_REGS and cfa == 0:
        return no_match(mem, row) | GOES_ON, 0, (0, 1, 0, fp, low, stack, left)
    gone = left if here == stack else stack
    if kind == PT_REGS:
        regs = fp - mem.metadata_offset
        if stack_of(mem, regs) != here or (here == stack and regs < low):
            return Reason.FP_OFF_STACK, 0, (0, 1, sp, fp, low, stack, left)
        pc = load64(mem, regs + mem.regs_pc_offset)
        sp = load64(mem, regs + mem.regs_sp_offset)
        return FRAME, pc, (pc, 0, sp, load64(mem, regs + mem.regs_fp_offset), fp + WITH_TYPE, here, gone)
    if meta:
        return Reason.BAD_METADATA, 0, (0, 1, sp, fp, low, stack, left)
    ra = strip(mem, ra)
    if rests_on_fp(mem, rule(mem, Format.DWARF, ra - 1)):
        cfa = 0  # of no use: equal walks have equal cursors
    return FRAME, ra, (ra - 1, 0, cfa, after, fp + RECORD, here, gone)


def cfa_of_record(mem: Mem, row: int, sp: int, fp: int) -> int:
    """The CFA where *row* has a frame record and it is at *fp*; else 0."""
    if not has_record(mem, row):
        return 0
    base = fp if rests_on_fp(mem, row) else sp
    cfa = base + rule_word(mem, Format.DWARF, row, Field.CFA_OFFSET)
    return cfa if cfa + rule_word(mem, Format.DWARF, row, Field.FP_OFFSET) == fp else 0


def has_record(mem: Mem, row: int) -> bool:
    """Whether *row* says where the caller's FP was saved, relative to a CFA that is not SP itself."""
    if row == 0 or rule_word(mem, Format.DWARF, row, Field.KIND) != Kind.NORMAL:
        return False
    if rule_word(mem, Format.DWARF, row, Field.CFA_DEREF) != 0:
        return False
    saved = rule_word(mem, Format.DWARF, row, Field.FP_PLACE) == FpPlace.CFA
    return saved and rule_word(mem, Format.DWARF, row, Field.CFA_OFFSET) != 0


def no_match(mem: Mem, row: int) -> int:
    """Why a row with no CFA for the record is refused."""
    return Reason.FP_MISMATCH if has_record(mem, row) else Reason.NO_ROW


def rests_on_fp(mem: Mem, row: int) -> bool:
    """Whether the CFA of *row* is based on FP."""
    return rule_word(mem, Format.DWARF, row, Field.CFA_BASE) == CfaBase.FP
