"""DWARF call frame information, followed from the interrupted instruction to the outermost frame.

Equation: see ``by_rule``.  The row is that of the pc at an interrupted instruction, and of pc - 1 for a return address:
the call is what is live, and after a call that does not return the return address lies in the next function (row 41 of
the field guide).  LR is the interrupted function's alone; a row that wants it for a caller is refused.

Source: DWARF 5 section 6.4.  The kernel has no such unwinder for itself; perf and gdb do.
"""

from __future__ import annotations

from lab.metadata.rules import Format
from lab.unwind.api import BOUNDARY, Cursor, Mem, Regs, StepResult, Unwinder, rule
from lab.unwind.by_rule import frame


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(address to look up, sp, fp, lr, whether a call has made LR stale)."""
    stale = 0 if mode == BOUNDARY else 1
    return pc - stale, regs.sp, regs.fp, regs.lr, stale


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame by its row."""
    pc, sp, fp, lr, stale = cursor
    row = rule(mem, Format.DWARF, pc)
    return frame(mem, Format.DWARF, row, (sp, fp, lr, stale, 1))


UNWINDER = Unwinder(
    "dwarf",
    "DWARF call frame information",
    "DWARF 5 section 6.4",
    start,
    step,
    tables=(Format.DWARF,),
    resumes=(0, 2, 1),
)
