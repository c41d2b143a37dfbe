"""One frame by a row of a rule table: what every unwinder by metadata shares.

Equation, for a row of the table at the address that is looked up::

    CFA = (SP or FP) + offset                   or the value at that address, where the row says so
    ra  = LR, or [CFA + ra offset]
    fp  = FP, [CFA + fp offset] or [FP + fp offset]
    sp  = CFA

A row of kind REGS gives the address of a pt_regs instead, and the walk goes on from the registers in it.

The CFA (canonical frame address) is the caller's SP after the return, on both architectures.
"""

from __future__ import annotations

from lab.metadata.rules import CfaBase, Deref, Field, Flag, Format, FpPlace, Kind, RaPlace
from lab.unwind.api import END, FRAME, Cursor, Mem, Reason, StepResult, load64, rule_word, stack_of, strip
from lab.unwind.kunwind import PT_REGS, WITH_TYPE, kind_of, lies_on


def refusal(mem: Mem, table: int, row: int) -> int:
    """FRAME where *row* can be followed; END where it says that nobody is returned to; else a Reason."""
    if row == 0:
        return Reason.NO_ROW
    kind = rule_word(mem, table, row, Field.KIND)
    if kind == Kind.END:
        return END
    if kind == Kind.UNDEFINED:
        return Reason.END_UNDEFINED
    if kind == Kind.REGS_PARTIAL:
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


def frame(mem: Mem, table: int, row: int, state: Cursor) -> StepResult:
    """One frame by *row* and *state* (sp, fp, lr, whether LR is of no use, how many bytes before itself an address is
    looked up).  The cursor after it: (address to look up, the first four again).  Where there is no row, FP may say how
    to go on."""
    sp, fp, lr, stale, back = state
    if row == 0:
        return without_row(mem, table, fp, stale)
    if rule_word(mem, table, row, Field.KIND) == Kind.REGS:
        return at_regs(mem, table, row, sp, fp)
    said = refusal(mem, table, row)
    if said != FRAME:
        return said, 0, (0, sp, fp, 0, 1)
    if stale != 0 and rule_word(mem, table, row, Field.RA_PLACE) == RaPlace.LR:
        return Reason.LR_DEAD, 0, (0, sp, fp, 0, 1)
    cfa = cfa_of(mem, table, row, sp, fp)
    if not rises(mem, cfa, 8, sp, stale):
        return Reason.BAD_CFA, 0, (0, sp, fp, 0, 1)
    ra = ra_of(mem, table, row, cfa, lr)
    caller = fp_of(mem, table, row, cfa, fp)
    if rule_word(mem, table, row, Field.FLAGS) & Flag.SIGNAL != 0:
        return FRAME, ra, (ra, cfa, caller, 0, 1)
    return FRAME, ra, (ra - back, cfa, caller, 0, 1)


def rises(mem: Mem, cfa: int, below: int, sp: int, stale: int) -> bool:
    """Whether the *below* bytes under *cfa* lie on a known stack, and *cfa* above *sp* unless no call was made yet
    (*stale* 0); or on another stack than *sp*, where that is the IRQ stack: the only one that a walk leaves."""
    stack = lies_on(mem, cfa - below, below)
    if stack == 0:
        return False
    here = stack_of(mem, sp - 8)
    if here not in (stack, 0):
        return here == mem.irq_low
    return stale == 0 or cfa > sp


def is_metadata(mem: Mem, fp: int) -> bool:
    """Whether a metadata record {0, 0} lies at *fp*."""
    return lies_on(mem, fp, WITH_TYPE) != 0 and load64(mem, fp) == 0 and load64(mem, fp + 8) == 0


def without_row(mem: Mem, table: int, fp: int, stale: int) -> StepResult:
    """A caller without a row goes on where FP leads to a pt_regs (its metadata record, or its address with bit 0 set on
    x86): with all the registers of what was interrupted.  It is the end where that is the task's own, and the format
    cannot say so itself.  Of a function that was interrupted and has no row nothing is known."""
    encoded = mem.metadata_offset == 0 and fp & 1 == 1
    if stale != 0 and table == Format.SFRAME and (fp == mem.final_record or (encoded and fp - 1 == mem.final_record)):
        return END, 0, (0, 0, 0, 0, 1)
    if stale != 0 and encoded and lies_on(mem, fp - 1, 8) != 0:
        return interrupted(mem, fp - 1)
    if stale == 0 or mem.metadata_offset == 0 or fp & 7 or not is_metadata(mem, fp) or kind_of(mem, fp) != PT_REGS:
        return Reason.NO_ROW, 0, (0, 0, 0, 0, 1)
    return interrupted(mem, fp - mem.metadata_offset)


def at_regs(mem: Mem, table: int, row: int, sp: int, fp: int) -> StepResult:
    """A row of kind REGS: its CFA is the address of a pt_regs."""
    regs = cfa_of(mem, table, row, sp, fp)
    if lies_on(mem, regs, 8) == 0:
        return Reason.BAD_CFA, 0, (0, sp, fp, 0, 1)
    return interrupted(mem, regs)


def interrupted(mem: Mem, regs: int) -> StepResult:
    """The walk goes on from all the registers of what was interrupted, which the pt_regs at *regs* holds."""
    pc = load64(mem, regs + mem.regs_pc_offset)
    lr = load64(mem, regs + mem.regs_lr_offset) if mem.regs_lr_offset != 0 else 0
    return FRAME, pc, (pc, load64(mem, regs + mem.regs_sp_offset), load64(mem, regs + mem.regs_fp_offset), lr, 0)
