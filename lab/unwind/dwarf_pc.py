"""DWARF call frame information looked up at the return address itself, not one byte before it.

Equation: as ``dwarf``, with the row of pc throughout.  Where a call that does not return is its function's last
instruction, the row is that of the next function (row 41 of the field guide).

Source: DWARF 5 section 6.4.4 says to look up one byte before; this is the mistake of not doing so.
"""

from __future__ import annotations

from lab.metadata.rules import Format
from lab.unwind.api import BOUNDARY, Cursor, Mem, Regs, StepResult, Unwinder, rule
from lab.unwind.by_rule import frame


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(address to look up, sp, fp, lr, whether a call has made LR stale)."""
    return pc, regs.sp, regs.fp, regs.lr, 0 if mode == BOUNDARY else 1


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame by its row."""
    pc, sp, fp, lr, stale = cursor
    row = rule(mem, Format.DWARF, pc)
    return frame(mem, Format.DWARF, row, (sp, fp, lr, stale, 0))


UNWINDER = Unwinder(
    "dwarf-pc",
    "DWARF looked up at the return address",
    "DWARF 5 section 6.4",
    start,
    step,
    tables=(Format.DWARF,),
    resumes=(0, 2, 1),
)
