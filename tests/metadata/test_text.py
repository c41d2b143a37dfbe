"""Rules in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.arch import AARCH64, ARCHES, X86_64, Arch
from lab.metadata.rules import CfaBase, Deref, Flag, FpPlace, Kind, RaPlace, Reason, Rule, RuleTable, unsupported
from lab.metadata.text import TEXTS, rule_text
from tests.metadata.strategies import tables

CALL = Rule(Kind.NORMAL, CfaBase.SP, 16, 0, RaPlace.CFA, -8, FpPlace.CFA, -16)


@pytest.mark.parametrize(
    ("arch", "rule", "text"),
    [
        (X86_64, CALL, "CFA = rsp+16, ra [CFA-8], fp [CFA-16]"),
        (X86_64, CALL._replace(cfa_base=CfaBase.FP, fp_place=0), "CFA = rbp+16, ra [CFA-8], fp same"),
        (X86_64, CALL._replace(cfa_deref=Deref.BEFORE, fp_place=2), "CFA = [rsp]+16, ra [CFA-8], fp [rbp-16]"),
        (X86_64, CALL._replace(cfa_deref=Deref.AFTER, fp_place=3), "CFA = [rsp+16], ra [CFA-8], fp lost"),
        (AARCH64, Rule(Kind.NORMAL, flags=Flag.RA_SIGNED), "CFA = sp+0, ra in x30 signed, fp same"),
        (X86_64, CALL._replace(kind=Kind.REGS, fp_place=0), "CFA = rsp+16, pt_regs there, fp same"),
        (X86_64, CALL._replace(flags=Flag.SIGNAL), "CFA = rsp+16, ra [CFA-8], fp [CFA-16], signal frame"),
        (X86_64, Rule(Kind.END, ra_place=RaPlace.UNDEFINED), "end of the stack"),
        (X86_64, Rule(Kind.UNDEFINED), "undefined"),
        (X86_64, unsupported(Reason.CFA_EXPRESSION), "not supported: CFA by an expression"),
        (X86_64, None, "no row"),
    ],
)
def test_words(arch: Arch, rule: Rule | None, text: str) -> None:
    assert rule_text(rule, arch) == text


@given(tables(), st.sampled_from(ARCHES))
def test_different_rules_have_different_words(table: RuleTable, arch: Arch) -> None:
    """But for what only the unwinder's code knows: the return address's slot in a pt_regs, and offsets not used."""
    words: dict[str, Rule] = {}
    for row in table.rows:
        rule = row.rule
        if rule.kind in {Kind.REGS, Kind.REGS_PARTIAL}:
            rule = rule._replace(ra_place=0, ra_offset=0, flags=rule.flags & Flag.SIGNAL)
        if rule.kind in {Kind.END, Kind.UNDEFINED, Kind.UNSUPPORTED}:
            rule = Rule(rule.kind, reason=rule.reason)
        assert words.setdefault(rule_text(rule, arch), rule) == rule


def test_every_reason_has_words() -> None:
    assert set(TEXTS) == {reason for reason in Reason if reason is not Reason.NONE}
    assert len(set(TEXTS.values())) == len(TEXTS)
