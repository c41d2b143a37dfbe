"""The arm64 kernel's reliable walk with SFrame at exception boundaries, as in revision 5 of the series.

Equation: see ``sframe_arm64``.  A pc that came from pt_regs is unwound by SFrame, everything else by frame records.
Where SFrame rejects, the walk goes on by record and is marked unreliable, which the next entry finds (refused); a
FINAL record or a failure met at once ends the walk before.  The walk's own return code is lost: a broken chain, a
failed fallback and a trace of more than 100 entries (the pc is one) come back as success (derived).

Against revision 6: where a record cannot be consumed, SFrame is tried for the return address, with FP in the place
of SP at a start from the caller and after a record, as if nothing lay below a frame record (derived; row 40 of the
field guide).

Source: "unwind: arm64: Use sframe to unwind interrupt frames", revision 5 (linux-arm-kernel, 2026); Linux v6.13
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
from lab.unwind.kunwind import FINAL, PT_REGS, kind_of
from lab.unwind.sframe_arm64 import by_record, by_sframe

_RECORD, _REGS = 0, 1
"""States: go on by record; by SFrame."""


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(pc, state, sp, lr, fp, lowest address not yet passed, the stack at hand and the one left before it)."""
    interrupted = mode == BOUNDARY
    return (
        pc,
        _REGS if interrupted else _RECORD,
        regs.sp if interrupted else regs.fp,
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
        said, ra, after, cfa = by_sframe(mem, row, (sp, fp, lr))
        if said == END:
            return END, 0, cursor
        if said == FRAME:
            return FRAME, ra, (ra, _RECORD, cfa, 0, after, low, stack, left)
        refused = Reason.NO_ROW if row == 0 else Reason.BAD_CFA
    kind, ra, regs, place = by_record(mem, (fp, low, stack, left))
    if kind == END and state == _RECORD and not ends_well(mem, fp):
        row = rule(mem, Format.SFRAME, pc)
        said, ra, after, cfa = by_sframe(mem, row, (sp, fp, 0))
        if said == FRAME:
            return FRAME, ra, (ra, _RECORD, cfa, 0, after, low, stack, left)
    if kind == END:
        return END, 0, cursor
    if refused != 0:
        return refused | GOES_ON, 0, (0, _RECORD, 0, 0, fp, low, stack, left)
    if kind == PT_REGS:
        sp = load64(mem, regs + mem.regs_sp_offset)
        lr = load64(mem, regs + mem.regs_lr_offset)
        return FRAME, ra, (ra, _REGS, sp, lr, place[0], place[1], place[2], place[3])
    return FRAME, ra, (ra, _RECORD, place[0], 0, place[0], place[1], place[2], place[3])


def ends_well(mem: Mem, fp: int) -> bool:
    """Whether FP points at a FINAL record in its place."""
    return fp == mem.final_record and kind_of(mem, fp) == FINAL


UNWINDER = Unwinder(
    "sframe-v5",
    "arm64 reliable walk with SFrame, revision 5",
    "the series' revision 5, 2026",
    start,
    step,
    arches=frozenset({"aarch64"}),
    tables=(Format.SFRAME,),
    resumes=(NOWHERE, 4, 5),
    cap=99,
)
