"""DWARF call-frame information as a rule table.

Source: DWARF 5 section 6.4.1 (the rules); the psABI of each architecture for register numbers and for what a register
without a rule means: LR holds the return address on AArch64 (AADWARF64), and SP is the CFA.  The parser and the
interpreter are lab.metadata.cfi and cfi_state; here their states become rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.arch import Arch
from lab.errors import InputError
from lab.metadata.cfi import Fde, Frames, frames, rows
from lab.metadata.cfi_state import CfiState, How
from lab.metadata.rules import (
    CfaBase,
    Flag,
    Format,
    FpPlace,
    Kind,
    Loss,
    RaPlace,
    Reason,
    Row,
    Rule,
    RuleTable,
    merged,
    unsupported,
)

_MOST_OFFSET = 1 << 62
_LAST = (1 << 64) - 1
#: The kinds of rule a row cannot hold -> the reason, for the return address and for FP.
_RA = {
    How.VAL_OFFSET: Reason.RA_VALUE,
    How.REGISTER: Reason.RA_REGISTER,
    How.EXPRESSION: Reason.RA_EXPRESSION,
    How.VAL_EXPRESSION: Reason.RA_EXPRESSION,
}
_FP = {
    How.VAL_OFFSET: Reason.FP_VALUE,
    How.REGISTER: Reason.FP_REGISTER,
    How.EXPRESSION: Reason.FP_EXPRESSION,
    How.VAL_EXPRESSION: Reason.FP_EXPRESSION,
}


@dataclass(frozen=True, slots=True)
class _Numbers:
    """DWARF numbers of SP, FP and LR (None without one); ``saved``: number -> place in pt_regs of the registers that a
    walk goes on from, ``pc`` that of the interrupted instruction's address (bytes)."""

    sp: int
    fp: int
    lr: int | None
    saved: Mapping[int, int]
    pc: int


def _numbers(arch: Arch) -> _Numbers:
    index, places = arch.gprs.index, arch.pt_regs.registers
    saved = {index(name): places[name] for name in (arch.sp, arch.fp, arch.lr) if name is not None}
    lr = None if arch.lr is None else index(arch.lr)
    return _Numbers(index(arch.sp), index(arch.fp), lr, saved, places["pc"])


def dwarf_table(data: bytes, address: int, arch: Arch, where: str) -> RuleTable:
    """The table of *data*, the contents of .eh_frame loaded at *address*; *where* names the file in InputErrors.

    A section out of order is an InputError; an FDE whose instructions are damaged is a row of reason DAMAGED.  Of
    FDEs that overlap, an address belongs to the one that starts nearest before it."""
    found = frames(data, address, where)
    table = tuple(merged_rows(found, arch))
    losses = tuple(
        Loss(row.start, row.end, Reason(row.rule.reason)) for row in table if row.rule.kind == Kind.UNSUPPORTED
    )
    units = tuple(sorted({fde.start for fde in found.ordered}))
    return RuleTable(Format.DWARF, table, ".eh_frame", len(data), losses, units)


def merged_rows(found: Frames, arch: Arch) -> list[Row]:
    """The rows of every FDE, by start; those of one FDE that say the same are one."""
    names = _numbers(arch)
    ordered = found.ordered
    rows_found: list[Row] = []
    for at, fde in enumerate(ordered):
        limit = min(fde.end, ordered[at + 1].start if at + 1 < len(ordered) else _LAST, _LAST)
        if fde.start < limit:
            rows_found += merged(_rows(fde, limit, names))
    return rows_found


def _rows(fde: Fde, limit: int, names: _Numbers) -> list[Row]:
    try:
        states = rows(fde)
    except InputError:
        return [Row(fde.start, limit, unsupported(Reason.DAMAGED))]
    column, flags = fde.cie.return_column, Flag.SIGNAL if fde.signal else Flag(0)
    return [
        Row(start, min(end, limit), rule_of(state, column, flags, names))
        for start, end, state in states
        if start < limit
    ]


def rule_of(state: CfiState, column: int, signal: Flag, names: _Numbers) -> Rule:
    """*state* as a rule; *column*: the register number that stands for the return address."""
    flags = int(signal | (Flag.RA_SIGNED if state.signed else Flag(0)))
    if signal and (at := _saved_registers(state, column, names)) is not None:
        base = CfaBase.SP if state.cfa.register == names.sp else CfaBase.FP
        return Rule(Kind.REGS, base, state.cfa.offset + at, 0, RaPlace.CFA, names.pc, flags=flags)
    ra_place, ra_offset, problem = _return_address(state, column, names)
    if ra_place == RaPlace.UNDEFINED:
        return Rule(Kind.END, ra_place=RaPlace.UNDEFINED, flags=flags)
    fp_place, fp_offset, fp_problem = _frame_pointer(state, names)
    reason = _cfa_problem(state, names) or problem or fp_problem
    if not reason and max(map(abs, (state.cfa.offset, ra_offset, fp_offset))) > _MOST_OFFSET:
        reason = Reason.OFFSET_RANGE
    if reason:
        return unsupported(reason, flags)
    base = CfaBase.SP if state.cfa.register == names.sp else CfaBase.FP
    return Rule(Kind.NORMAL, base, state.cfa.offset, 0, ra_place, ra_offset, fp_place, fp_offset, flags, Reason.NONE)


def _saved_registers(state: CfiState, column: int, names: _Numbers) -> int | None:
    """Where, from the CFA, a whole pt_regs lies that holds what an exception interrupted; None where it is not so.

    An SP without a rule is the CFA: then pt_regs lies directly below what was interrupted, and holds the same SP."""
    if state.cfa.expression is not None or state.cfa.register not in {names.sp, names.fp}:
        return None
    rules = {number: state.registers.get(number) for number in names.saved}
    if rules[names.sp] is None:
        del rules[names.sp]
    pc = state.registers.get(column)
    if pc is None or pc.how is not How.OFFSET:
        return None
    at = pc.value - names.pc
    if all(r is not None and r.how is How.OFFSET and r.value - names.saved[n] == at for n, r in rules.items()):
        return at
    return None


def _cfa_problem(state: CfiState, names: _Numbers) -> Reason:
    if state.cfa.expression is not None:
        return Reason.CFA_EXPRESSION
    if state.cfa.register is None:
        return Reason.CFA_MISSING
    if state.cfa.register not in {names.sp, names.fp}:
        return Reason.CFA_REGISTER
    rule = state.registers.get(names.sp)
    if rule is not None and not (rule.how is How.VAL_OFFSET and rule.value == 0):
        return Reason.SP_RULE
    return Reason.NONE


def _return_address(state: CfiState, column: int, names: _Numbers) -> tuple[RaPlace, int, Reason]:
    """(place, offset, what is in the way of a rule)."""
    rule = state.registers.get(column)
    register = column if rule is None or rule.how is How.SAME else None
    if rule is not None and rule.how is How.REGISTER:
        register = rule.value
    if register is not None:
        if register == names.lr:
            return RaPlace.LR, 0, Reason.NONE
        return RaPlace.LR, 0, Reason.RA_UNSAVED if register == column else Reason.RA_REGISTER
    assert rule is not None
    if rule.how is How.UNDEFINED:
        return RaPlace.UNDEFINED, 0, Reason.NONE
    if rule.how is How.OFFSET:
        return RaPlace.CFA, rule.value, Reason.NONE
    return RaPlace.LR, 0, _RA[rule.how]


def _frame_pointer(state: CfiState, names: _Numbers) -> tuple[FpPlace, int, Reason]:
    """(place, offset, what is in the way of a rule)."""
    rule = state.registers.get(names.fp)
    if rule is None or rule.how is How.SAME or (rule.how is How.REGISTER and rule.value == names.fp):
        return FpPlace.SAME, 0, Reason.NONE
    if rule.how is How.OFFSET:
        return FpPlace.CFA, rule.value, Reason.NONE
    if rule.how is How.UNDEFINED:
        return FpPlace.UNDEFINED, 0, Reason.NONE
    return FpPlace.SAME, 0, _FP[rule.how]
