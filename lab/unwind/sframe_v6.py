"""The arm64 kernel's reliable walk with SFrame at exception boundaries, as in revision 6 of the series.

Equation: see ``sframe_arm64``.  A pc that came from pt_regs is unwound by SFrame, everything else by frame records.
Where SFrame rejects, the walk goes on by record and is marked unreliable, which the next entry finds (refused); a
FINAL record or a failure met at once ends the walk before.  The walk's own return code is lost: a broken chain, a
failed fallback and a trace of more than 100 entries (the pc is one) come back as success.

The alignment mask is 0x15, meant as a test for 16 bytes: it rejects every CFA with bit 0, 2 or 4 set, which is half of
all aligned ones, and accepts those that are 8 modulo 32.

Source: "unwind: arm64: Use sframe to unwind interrupt frames", revision 6 (see ``sframe_arm64``); Linux v6.17
arch/arm64/kernel/stacktrace.c for the rest.
"""

from __future__ import annotations

from lab.metadata.rules import Format
from lab.unwind.api import (
    BOUNDARY,
    END,
    FRAME,
    GOES_ON,
    NOWHERE,
    Cursor,
    Mem,
    Reason,
    Regs,
    StepResult,
    Unwinder,
    load64,
    rule,
)
from lab.unwind.kunwind import PT_REGS
from lab.unwind.sframe_arm64 import REJECTED, by_record, by_sframe

MISALIGNED = 0x15
_RECORD, _REGS = 0, 1
"""States: go on by record; by SFrame."""


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(pc, state, sp, lr, fp, lowest address not yet passed, the stack at hand and the one left before it)."""
    interrupted = mode == BOUNDARY
    return (
        pc,
        _REGS if interrupted else _RECORD,
        regs.sp if interrupted else 0,
        regs.lr if interrupted else 0,
        regs.fp,
        0,
        0,
        0,
    )


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One entry."""
    pc, state, sp, lr, fp, low, stack, left = cursor
    refused = 0
    if state == _REGS:
        row = rule(mem, Format.SFRAME, pc)
        said, ra, _, place = by_sframe(mem, row, (sp, lr, 1), (fp, low, stack, left), MISALIGNED)
        if said == FRAME:
            return FRAME, ra, (0, _RECORD, 0, 0, place[0], place[1], place[2], place[3])
        refused = Reason.NO_ROW if row == 0 else Reason.BAD_CFA
    kind, ra, regs, place = by_record(mem, (fp, low, stack, left))
    if kind in (END, REJECTED):
        return END, 0, cursor
    if refused != 0:
        return refused | GOES_ON, 0, (0, _RECORD, 0, 0, fp, low, stack, left)
    if kind == PT_REGS:
        sp = load64(mem, regs + mem.regs_sp_offset)
        lr = load64(mem, regs + mem.regs_lr_offset)
        return FRAME, ra, (ra, _REGS, sp, lr, place[0], place[1], place[2], place[3])
    return FRAME, ra, (0, _RECORD, 0, 0, place[0], place[1], place[2], place[3])


UNWINDER = Unwinder(
    "sframe-v6",
    "arm64 reliable walk with SFrame, revision 6",
    "the series' revision 6, 2026",
    start,
    step,
    arches=frozenset({"aarch64"}),
    tables=(Format.SFRAME,),
    resumes=(NOWHERE, 4, 5),
    cap=99,
)
