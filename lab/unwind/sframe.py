"""SFrame as it would be right: every frame by its row, from the interrupted instruction on.

Equation: see ``by_rule``.  The row is that of pc at an interrupted instruction, of pc - 1 for a return address.  SFrame
(version 2) cannot say that a frame is the outermost one: there is no row, and the walk ends well only where FP points
at the task's own pt_regs (arm64: its FINAL record; x86: bit 0 is set).  A pt_regs without a row is gone on from, LR
included.

Source: the SFrame format, version 2 (GNU binutils 2.41, libsframe/doc/sframe-spec.texi).
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
    row = rule(mem, Format.SFRAME, pc)
    return frame(mem, Format.SFRAME, row, (sp, fp, lr, stale, 1))


UNWINDER = Unwinder(
    "sframe",
    "SFrame, every frame by its row",
    "SFrame version 2",
    start,
    step,
    tables=(Format.SFRAME,),
    resumes=(0, 2, 1),
)
