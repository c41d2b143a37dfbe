"""One frame by a row of a rule table: what every unwinder by metadata shares.

Equation, for a row of the table at the address that is looked up::

    CFA = (SP or FP) + offset                   or the value at that address, where the row says so
    ra  = LR, or [CFA + ra offset]
    fp  = FP, [CFA + fp offset] or [FP + fp offset]
    sp  = CFA

The CFA (canonical frame address) is the caller's SP after the return, on both architectures.
"""

from __future__ import annotations

from lab.metadata.rules import CfaBase, Deref, Field, Flag, FpPlace, Kind, RaPlace
from lab.unwind.api import END, FRAME, Mem, Reason, load64, rule_word, strip


def refusal(mem: Mem, table: int, row: int) -> int:
    """FRAME where *row* can be followed; END where it says that nobody is returned to; else a Reason."""
    if row == 0:
        return Reason.NO_ROW
    kind = rule_word(mem, table, row, Field.KIND)
    if kind == Kind.END:
        return END
    if kind == Kind.UNDEFINED:
        return Reason.END_UNDEFINED
    if kind in (Kind.REGS, Kind.REGS_PARTIAL):
        return Reason.REGS_FRAME
    if kind != Kind.NORMAL or rule_word(mem, table, row, Field.CFA_BASE) == CfaBase.OTHER:
        return Reason.UNSUPPORTED_RULE
    if rule_word(mem, table, row, Field.RA_PLACE) == RaPlace.UNDEFINED:
        return END
    return FRAME


def cfa_of(mem: Mem, table: int, row: int, sp: int, fp: int) -> int:
    """The CFA by a row that can be followed."""
    base = fp if rule_word(mem, table, row, Field.CFA_BASE) == CfaBase.FP else sp
    offset = rule_word(mem, table, row, Field.CFA_OFFSET)
    deref = rule_word(mem, table, row, Field.CFA_DEREF)
    if deref == Deref.BEFORE:
        return load64(mem, base) + offset
    if deref == Deref.AFTER:
        return load64(mem, base + offset)
    return base + offset


def ra_of(mem: Mem, table: int, row: int, cfa: int, lr: int) -> int:
    """The return address, without an authentication code."""
    if rule_word(mem, table, row, Field.RA_PLACE) == RaPlace.LR:
        return strip(mem, lr)
    return strip(mem, load64(mem, cfa + rule_word(mem, table, row, Field.RA_OFFSET)))


def fp_of(mem: Mem, table: int, row: int, cfa: int, fp: int) -> int:
    """The caller's FP; 0 where it is lost."""
    place = rule_word(mem, table, row, Field.FP_PLACE)
    if place == FpPlace.SAME:
        return fp
    if place == FpPlace.UNDEFINED:
        return 0
    base = cfa if place == FpPlace.CFA else fp
    return load64(mem, base + rule_word(mem, table, row, Field.FP_OFFSET))


def lr_needed(mem: Mem, table: int, row: int) -> bool:
    """Whether the return address is in LR."""
    return rule_word(mem, table, row, Field.RA_PLACE) == RaPlace.LR


def is_signal(mem: Mem, table: int, row: int) -> bool:
    """Whether the caller was interrupted, so that its pc is the next instruction to run."""
    return rule_word(mem, table, row, Field.FLAGS) & Flag.SIGNAL != 0
