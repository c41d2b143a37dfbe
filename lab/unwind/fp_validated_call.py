"""The arm64 kernel's walk with frame pointers validated by metadata in every frame, and calls looked for.

Equation, for the row of the address (of one byte before a return address)::

    CFA = (SP or FP) + offset      FP must be CFA + the offset at which the row has the caller's FP      SP' = CFA

No row, and a row with an offset of zero (prologue, leaf, assembly), is unreliable.  Otherwise the walk is by frame
record; the instruction before each return address must be a call, which the series planned. Where the row's CFA is
based on FP itself, as clang's are after the prologue, the comparison only says that the row has a frame record.

Source: the v3 series "Use ORC for dynamic frame pointer validation" (arm64, February 2023).  Its tables are ORC of
its own objtool; here the rows are those of .eh_frame."""

from __future__ import annotations

from lab.metadata.rules import Format
from lab.unwind.api import BOUNDARY, FRAME, GOES_ON, Cursor, Mem, Reason, Regs, StepResult, Unwinder, after_call, rule
from lab.unwind.validated import frame


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(address to look up, 1 where something has been refused, sp, fp, lowest address not yet passed, the stack at hand
    and the one left before it)."""
    return pc - (0 if mode == BOUNDARY else 1), 0, regs.sp, regs.fp, 0, 0, 0


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame, validated."""
    pc, refused, sp, fp, low, stack, left = cursor
    row = rule(mem, Format.DWARF, pc)
    status, ra, after = frame(mem, row, refused, (sp, fp, low, stack, left))
    if status == FRAME and refused == 0 and after[0] != ra and not after_call(mem, ra):
        return Reason.NOT_A_CALL | GOES_ON, 0, (0, 1, sp, fp, low, stack, left)
    return status, ra, after


UNWINDER = Unwinder(
    "fp-validated-call",
    "arm64 frame pointers validated by metadata, calls looked for",
    "v3 series, 2023-02",
    start,
    step,
    arches=frozenset({"aarch64"}),
    tables=(Format.DWARF,),
)
