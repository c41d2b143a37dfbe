"""The arm64 kernel's reliable walk with SFrame at exception boundaries, as in revision 5 of the series.

Equation: see ``sframe_arm64``.  A pc that came from pt_regs is unwound by SFrame, everything else by frame records.
Where SFrame rejects, the walk goes on by record and is marked unreliable, which the next entry finds (refused); a
FINAL record or a failure met at once ends the walk before.  The walk's own return code is lost: a broken chain, a
failed fallback and a trace of more than 100 entries (the pc is one) come back as success.

Against revision 6::

    the CFA must be a multiple of 8, and so must SP
    SP at a start from the caller = the record of the function that walks; here as if right below the caller's SP
    SP after a record = the address of that record, as if nothing lay below it (review; row 40 of the field guide)
    SP after a pt_regs = what it was before: that of the interrupted context is not taken over

Where a record cannot be consumed, SFrame is tried for the return address.  Where there is no row, the third word at FP
is taken for a metadata record's type, whatever the first two say: FINAL in its place ends the walk, PT_REGS is gone
on from, and neither is marked.

Source: "unwind: arm64: Use sframe to unwind interrupt frames", revision 5 (see ``sframe_arm64``), and its review of
1 May 2026; Linux v6.17 arch/arm64/kernel/stacktrace.c for the rest.
"""

from __future__ import annotations

from lab.metadata.rules import Format
from lab.unwind.api import (
    BLOCKED,
    BOUNDARY,
    END,
    FRAME,
    GOES_ON,
    Cursor,
    Mem,
    Reason,
    Regs,
    StepResult,
    Unwinder,
    load64,
    rule,
)
from lab.unwind.kunwind import PT_REGS, RECORD
from lab.unwind.sframe_arm64 import REJECTED, by_record, by_sframe, by_type

MISALIGNED = 7
_RECORD, _REGS = 0, 1
"""States: go on by record; by SFrame."""


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(pc, state, sp, lr, fp, lowest address not yet passed, the stack at hand and the one left before it)."""
    interrupted = mode == BOUNDARY
    return (
        pc,
        _REGS if interrupted else _RECORD,
        regs.sp if mode in (BOUNDARY, BLOCKED) else regs.sp - RECORD,
        regs.lr if interrupted else 0,
        regs.fp,
        0,
        0,
        0,
    )


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One entry."""
    pc, state, sp, lr, fp, low, stack, left = cursor
    row = rule(mem, Format.SFRAME, pc)
    refused = 0
    if state == _REGS:
        kind, ra, after, place = looked_up(mem, row, (sp, lr, 1), (fp, low, stack, left))
        if kind != REJECTED:
            return told(mem, (kind, ra, after), sp, place)
        refused = Reason.NO_ROW if row == 0 else Reason.BAD_CFA
    kind, ra, after, place = by_record(mem, (fp, low, stack, left))
    if kind == FRAME:
        after = fp
    elif kind == REJECTED and state == _RECORD:
        kind, ra, after, place = looked_up(mem, row, (sp, 0, 0), (fp, low, stack, left))
    if refused != 0 and kind in (FRAME, PT_REGS):
        return refused | GOES_ON, 0, (0, _RECORD, sp, 0, fp, low, stack, left)
    return told(mem, (kind, ra, after), sp, place)


def looked_up(mem: Mem, row: int, registers: Cursor, place: Cursor) -> tuple[int, int, int, Cursor]:
    """As ``by_sframe``, and as ``by_type`` where there is no row; see there for *registers* and *place*."""
    if registers[0] & 7 or place[0] & 7:
        return REJECTED, 0, 0, place
    return by_type(mem, place) if row == 0 else by_sframe(mem, row, registers, place, MISALIGNED)


def told(mem: Mem, found: Cursor, sp: int, place: Cursor) -> StepResult:
    """The step's result for what was *found* (kind, ra, SP; or PT_REGS, pc, the address of pt_regs, after which SP is
    still *sp*)."""
    kind, ra, after = found
    if kind == PT_REGS:
        lr = load64(mem, after + mem.regs_lr_offset)
        return FRAME, ra, (ra, _REGS, sp, lr, place[0], place[1], place[2], place[3])
    if kind == FRAME:
        return FRAME, ra, (ra, _RECORD, after, 0, place[0], place[1], place[2], place[3])
    return END, 0, (0, _RECORD, 0, 0, place[0], place[1], place[2], place[3])


UNWINDER = Unwinder(
    "sframe-v5",
    "arm64 reliable walk with SFrame, revision 5",
    "the series' revision 5, 2026",
    start,
    step,
    arches=frozenset({"aarch64"}),
    tables=(Format.SFRAME,),
    resumes=(0, 4, 5),
    cap=99,
)
