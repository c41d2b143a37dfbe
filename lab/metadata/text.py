"""A rule in words, as readers of unwind tables write it: ``CFA = sp+16, ra [CFA-8], fp [CFA-16]``."""

from __future__ import annotations

from lab.arch import Arch
from lab.metadata.rules import CfaBase, Deref, Flag, FpPlace, Kind, RaPlace, Reason, Rule

TEXTS = {
    Reason.CFA_MISSING: "no rule for the CFA",
    Reason.CFA_EXPRESSION: "CFA by an expression",
    Reason.CFA_REGISTER: "CFA from a register other than SP and FP",
    Reason.CFA_DEREF: "CFA loaded from memory",
    Reason.RA_UNSAVED: "return address said to be in no register there is",
    Reason.RA_REGISTER: "return address in a register other than LR",
    Reason.RA_VALUE: "return address computed from the CFA",
    Reason.RA_EXPRESSION: "return address by an expression",
    Reason.RA_OFFSET: "return address in another slot than the format's",
    Reason.RA_IN_LR: "return address in LR",
    Reason.RA_SIGNED: "mark that the return address is signed (row kept)",
    Reason.FP_REGISTER: "caller's FP in another register",
    Reason.FP_VALUE: "caller's FP computed from the CFA",
    Reason.FP_EXPRESSION: "caller's FP by an expression",
    Reason.FP_PLACE: "caller's FP saved where the format cannot say",
    Reason.FP_UNDEFINED: "caller's FP lost",
    Reason.SP_RULE: "caller's SP is not the CFA",
    Reason.OFFSET_RANGE: "offset too large",
    Reason.RANGE: "code too long for one entry",
    Reason.KIND: "whole register sets (pt_regs)",
    Reason.SIGNAL: "mark of a signal frame",
    Reason.OUTERMOST: "end of the stack",
    Reason.DAMAGED: "damaged instructions",
    Reason.UNKNOWN: "values without a meaning",
}
"""Reason -> what is lost, or not supported, in words."""

_ALONE = {Kind.END: "end of the stack", Kind.UNDEFINED: "undefined"}
_SETS = {Kind.REGS: "pt_regs", Kind.REGS_PARTIAL: "part of pt_regs"}


def rule_text(rule: Rule | None, arch: Arch) -> str:
    """*rule* in words; None is ``no row``."""
    if rule is None:
        return "no row"
    if rule.kind in _ALONE:
        return _ALONE[Kind(rule.kind)]
    if rule.kind == Kind.UNSUPPORTED:
        return f"not supported: {TEXTS[Reason(rule.reason)]}"
    parts = [f"CFA = {_cfa(rule, arch)}", *_where(rule, arch)]
    if rule.flags & Flag.SIGNAL:
        parts.append("signal frame")
    return ", ".join(parts)


def _cfa(rule: Rule, arch: Arch) -> str:
    base = {CfaBase.SP: arch.sp, CfaBase.FP: arch.fp}.get(CfaBase(rule.cfa_base), "?")
    inner = f"[{base}]" if rule.cfa_deref == Deref.BEFORE else base
    text = f"{inner}{rule.cfa_offset:+d}"
    return f"[{text}]" if rule.cfa_deref == Deref.AFTER else text


def _where(rule: Rule, arch: Arch) -> list[str]:
    """The return address and FP; with a pt_regs, that it is one."""
    if rule.kind in _SETS:
        ra = [f"{_SETS[Kind(rule.kind)]} there"]
    else:
        place = {RaPlace.LR: f"in {arch.lr}", RaPlace.CFA: f"[CFA{rule.ra_offset:+d}]"}
        signed = " signed" if rule.flags & Flag.RA_SIGNED else ""
        ra = [f"ra {place.get(RaPlace(rule.ra_place), 'undefined')}{signed}"]
    fp = {
        FpPlace.SAME: "same",
        FpPlace.CFA: f"[CFA{rule.fp_offset:+d}]",
        FpPlace.FP: f"[{arch.fp}{rule.fp_offset:+d}]",
        FpPlace.UNDEFINED: "lost",
    }
    return [*ra, f"fp {fp[FpPlace(rule.fp_place)]}"]
