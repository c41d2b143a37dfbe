"""DWARF call frame information, followed from the interrupted instruction to the outermost frame.

Equation: see ``by_rule``.  The row is that of the pc at an interrupted instruction, and of pc - 1 for a return address:
the call is what is live, and after a call that does not return the return address lies in the next function (row 41 of
the field guide).  The LR is the interrupted function's alone; a row that wants it for a caller is refused.

Source: DWARF 5 section 6.4; Linux v6.13 has no such unwinder for itself (objtool and perf have).
"""

from __future__ import annotations

from lab.metadata.rules import Format
from lab.unwind.api import BOUNDARY, FRAME, Cursor, Mem, Reason, Regs, StepResult, Unwinder, rule
from lab.unwind.by_rule import cfa_of, fp_of, is_signal, lr_needed, ra_of, refusal


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(address to look up, sp, fp, lr, whether a call has made LR stale)."""
    stale = 0 if mode == BOUNDARY else 1
    return pc - stale, regs.sp, regs.fp, regs.lr, stale


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame by its row."""
    pc, sp, fp, lr, stale = cursor
    row = rule(mem, Format.DWARF, pc)
    said = refusal(mem, Format.DWARF, row)
    if said != FRAME:
        return said, 0, cursor
    if stale and lr_needed(mem, Format.DWARF, row):
        return Reason.LR_DEAD, 0, cursor
    cfa = cfa_of(mem, Format.DWARF, row, sp, fp)
    if stale and cfa <= sp:
        return Reason.BAD_CFA, 0, cursor
    ra = ra_of(mem, Format.DWARF, row, cfa, lr)
    caller = fp_of(mem, Format.DWARF, row, cfa, fp)
    signal = is_signal(mem, Format.DWARF, row)
    return FRAME, ra, (ra if signal else ra - 1, cfa, caller, 0, 1)


UNWINDER = Unwinder(
    "dwarf",
    "DWARF call frame information",
    "DWARF 5 section 6.4",
    start,
    step,
    tables=(Format.DWARF,),
)
