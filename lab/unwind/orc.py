"""The x86 kernel's ORC unwinder, as reliable stack walks use it.

Equation, for the entry of ip (of ip - 1 where ip is a return address)::

    sp' = (SP or BP) + offset, perhaps through memory      ip' = [sp' - 8]      bp' = BP, [sp' + n] or [BP + n]

Source: Linux v6.13 arch/x86/kernel/unwind_orc.c and stacktrace.c (arch_stack_walk_reliable).  UNDEFINED is an error,
END_OF_STACK is success; a whole pt_regs is gone on from and its ip is looked up itself; SP must rise; without an entry
it goes on by BP with its error mark set; a return address outside code is an error.  Bases other than SP and BP are not
modelled: UNSUPPORTED_RULE.
"""

from __future__ import annotations

from lab.metadata.rules import Field, Format, Kind
from lab.unwind.api import (
    BOUNDARY,
    FRAME,
    GOES_ON,
    Cursor,
    Mem,
    Reason,
    Regs,
    StepResult,
    Unwinder,
    is_text,
    load64,
    rule,
    rule_word,
)
from lab.unwind.by_rule import cfa_of, fp_of, ra_of, refusal, rises

ORC = Format.ORC
FP_ENTRY = 1
"""State: no entry, go on by BP for one frame."""


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(address to look up, sp, bp, FP_ENTRY or 0)."""
    return pc - (0 if mode == BOUNDARY else 1), regs.sp, regs.fp, 0


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame by its entry."""
    pc, sp, fp, state = cursor
    if state == FP_ENTRY:
        if not rises(mem, fp + 16, 16, sp, 1):
            return Reason.BAD_CFA, 0, cursor
        return checked(mem, fp + 16, load64(mem, fp + 8), load64(mem, fp))
    row = rule(mem, ORC, pc)
    if row == 0:
        return Reason.NO_ROW | GOES_ON, 0, (0, sp, fp, FP_ENTRY)
    if rule_word(mem, ORC, row, Field.KIND) == Kind.REGS:
        return resumed(mem, cfa_of(mem, ORC, row, sp, fp))
    said = refusal(mem, ORC, row)
    if said != FRAME:
        return said, 0, cursor
    cfa = cfa_of(mem, ORC, row, sp, fp)
    if not rises(mem, cfa, 16, sp, 1):
        return Reason.BAD_CFA, 0, cursor
    return checked(mem, cfa, ra_of(mem, ORC, row, cfa, 0), fp_of(mem, ORC, row, cfa, fp))


def checked(mem: Mem, cfa: int, ra: int, fp: int) -> StepResult:
    """The frame, where its address is in code."""
    if not is_text(mem, ra):
        return Reason.NOT_TEXT, 0, (0, cfa, fp, 0)
    return FRAME, ra, (ra - 1, cfa, fp, 0)


def resumed(mem: Mem, regs: int) -> StepResult:
    """Go on from the pt_regs at *regs*."""
    pc = load64(mem, regs + mem.regs_pc_offset)
    return FRAME, pc, (pc, load64(mem, regs + mem.regs_sp_offset), load64(mem, regs + mem.regs_fp_offset), 0)


UNWINDER = Unwinder(
    "orc",
    "x86 ORC",
    "Linux v6.13 arch/x86/kernel/unwind_orc.c",
    start,
    step,
    arches=frozenset({"x86_64"}),
    tables=(ORC,),
    resumes=(0, 2, 1),
)
