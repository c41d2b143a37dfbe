"""The x86 kernel's ORC unwinder, as reliable stack walks use it.

Equation, for the entry of ip (of ip - 1 where ip is a return address, by the entry's signal bit)::

    sp' = (SP or BP) + offset, perhaps through memory      ip' = [sp' - 8]      bp' = BP, [sp' + n] or [BP + n]
    ip', sp', bp' = those of the pt_regs at sp'            a whole one
    ip', sp' = [sp'], [sp' + 24], bp' = BP                 the part that the hardware pushes

UNDEFINED is an error, END_OF_STACK and pt_regs of user mode are success; every word read must be on a known stack; SP
must rise while the stack is the same; without an entry it goes on by BP with its error mark set; an address outside
code is an error.  Bases other than SP and BP are not modelled: UNSUPPORTED_RULE.
A walk leaves the IRQ stack and no other.

Source: Linux v6.13 arch/x86/kernel/unwind_orc.c and stacktrace.c (arch_stack_walk_reliable).
"""

from __future__ import annotations

from lab.metadata.rules import CfaBase, Deref, Field, Flag, Format, FpPlace, Kind
from lab.unwind.api import (
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
    is_text,
    load64,
    rule,
    rule_word,
    stack_of,
)
from lab.unwind.by_rule import cfa_of, fp_of, ra_of, refusal
from lab.unwind.kunwind import lies_on
from lab.unwind.x86_frames import CS, REGS_SIZE, USER

ORC = Format.ORC
FP_ENTRY = 1
"""State: no entry, go on by BP for one frame."""
IRET_SIZE, IRET_CS, IRET_SP = 40, 8, 24
"""The frame that the hardware pushes: ip, cs, flags, sp, ss."""


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(address to look up, sp, bp, FP_ENTRY or 0)."""
    return pc - (0 if mode == BOUNDARY else 1), regs.sp, regs.fp, 0


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame by its entry."""
    pc, sp, fp, state = cursor
    if state == FP_ENTRY:
        if not readable(mem, fp + 8, 8, sp) or not readable(mem, fp, 8, sp) or not rises(mem, fp + 16, sp):
            return Reason.BAD_CFA, 0, cursor
        return checked(mem, load64(mem, fp + 8), (1, fp + 16, load64(mem, fp)))
    row = rule(mem, ORC, pc)
    if row == 0:
        return Reason.NO_ROW | GOES_ON, 0, (0, sp, fp, FP_ENTRY)
    back = 0 if rule_word(mem, ORC, row, Field.FLAGS) & Flag.SIGNAL != 0 else 1
    kind = rule_word(mem, ORC, row, Field.KIND)
    said = FRAME if kind in (Kind.REGS, Kind.REGS_PARTIAL) else refusal(mem, ORC, row)
    if said != FRAME:
        return said, 0, cursor
    if not base_is_readable(mem, row, sp, fp):
        return Reason.BAD_CFA, 0, cursor
    cfa = cfa_of(mem, ORC, row, sp, fp)
    if kind == Kind.REGS:
        return at_regs(mem, cfa, sp, back)
    if kind == Kind.REGS_PARTIAL:
        return at_iret(mem, cfa, (sp, fp, back))
    slot = fp_slot(mem, row, cfa, fp)
    if not readable(mem, cfa - 8, 8, sp) or (slot != 0 and not readable(mem, slot, 8, sp)) or not rises(mem, cfa, sp):
        return Reason.BAD_CFA, 0, cursor
    return checked(mem, ra_of(mem, ORC, row, cfa, 0), (back, cfa, fp_of(mem, ORC, row, cfa, fp)))


def readable(mem: Mem, address: int, size: int, sp: int) -> bool:
    """Whether [address, address + size) is whole on the stack of *sp*, or on any other where that is the IRQ stack."""
    stack = lies_on(mem, address, size)
    here = stack_of(mem, sp - 8)
    return stack != 0 and (here in (stack, 0) or here == mem.irq_low)


def rises(mem: Mem, cfa: int, sp: int) -> bool:
    """Whether the new SP is above *sp*, or on another stack."""
    return cfa > sp or stack_of(mem, cfa) != stack_of(mem, sp - 8)


def base_is_readable(mem: Mem, row: int, sp: int, fp: int) -> bool:
    """Whether the word that SP is loaded from, if any, is on a stack."""
    deref = rule_word(mem, ORC, row, Field.CFA_DEREF)
    if deref == Deref.NONE:
        return True
    base = fp if rule_word(mem, ORC, row, Field.CFA_BASE) == CfaBase.FP else sp
    return readable(mem, base + (rule_word(mem, ORC, row, Field.CFA_OFFSET) if deref == Deref.AFTER else 0), 8, sp)


def fp_slot(mem: Mem, row: int, cfa: int, fp: int) -> int:
    """Where the caller's BP was saved; 0 where it was not."""
    place = rule_word(mem, ORC, row, Field.FP_PLACE)
    if place in (FpPlace.SAME, FpPlace.UNDEFINED):
        return 0
    return (cfa if place == FpPlace.CFA else fp) + rule_word(mem, ORC, row, Field.FP_OFFSET)


def checked(mem: Mem, ip: int, after: Cursor) -> StepResult:
    """The frame, where its address is in code.  *after*: bytes before it that are looked up, sp, bp."""
    back, sp, fp = after
    if not is_text(mem, ip):
        return Reason.NOT_TEXT, 0, (0, sp, fp, 0)
    return FRAME, ip, (ip - back, sp, fp, 0)


def at_regs(mem: Mem, regs: int, sp: int, back: int) -> StepResult:
    """Go on from the whole pt_regs at *regs*."""
    if not readable(mem, regs, REGS_SIZE, sp):
        return Reason.BAD_CFA, 0, (0, sp, 0, 0)
    if load64(mem, regs + CS) & USER == USER:
        return END, 0, (0, sp, 0, 0)
    above = load64(mem, regs + mem.regs_sp_offset)
    if stack_of(mem, regs) == stack_of(mem, sp - 8) and not rises(mem, above, sp):
        return Reason.BAD_CFA, 0, (0, sp, 0, 0)
    ip = load64(mem, regs + mem.regs_pc_offset)
    return checked(mem, ip, (back, above, load64(mem, regs + mem.regs_fp_offset)))


def at_iret(mem: Mem, frame: int, state: Cursor) -> StepResult:
    """Go on from what the hardware has pushed at *frame*.  *state*: sp, bp, bytes before ip that are looked up."""
    sp, fp, back = state
    if not readable(mem, frame, IRET_SIZE, sp):
        return Reason.BAD_CFA, 0, (0, sp, fp, 0)
    if load64(mem, frame + IRET_CS) & USER == USER:
        return END, 0, (0, sp, fp, 0)
    above = load64(mem, frame + IRET_SP)
    if stack_of(mem, frame) == stack_of(mem, sp - 8) and not rises(mem, above, sp):
        return Reason.BAD_CFA, 0, (0, sp, fp, 0)
    return checked(mem, load64(mem, frame), (back, above, fp))


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
