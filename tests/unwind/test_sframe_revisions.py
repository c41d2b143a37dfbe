"""Revisions 5 and 6 of the arm64 SFrame series: their defects, one by one (derived where the field guide says so)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.metadata.rules import CfaBase, Format, FpPlace, Kind, RaPlace, Row, Rule, RuleTable
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY, END, FRAME, GOES_ON, MASK64, Reason, Regs
from lab.unwind.code_view import CodeView
from lab.unwind.host import forms
from lab.unwind.sframe_arm64 import REJECTED, by_sframe

LOW, HIGH = 0x7000_0000, 0x7100_0000
PC, CODE = 0x40_1000, (0x40_0000, 0x50_0000)


class Fake:
    """A stack of *words*, elsewhere zero, and one SFrame row for PC."""

    def __init__(self, rule: Rule | None, words: dict[int, int] | None = None) -> None:
        rows = () if rule is None else (Row(PC, PC + 4, rule),)
        view = CodeView({Format.SFRAME: RuleTable(Format.SFRAME, rows)}, (CODE,), ((LOW, HIGH),))
        self.rule, self.rule_word, self.stack_of, self.is_text = view.rule, view.rule_word, view.stack_of, view.is_text
        self.words = words or {}
        self.pac_mask = self.irq_low = 0
        self.final_record = HIGH - 40
        self.metadata_offset, self.regs_pc_offset, self.regs_fp_offset = 296, 256, 232
        self.regs_sp_offset, self.regs_lr_offset = 248, 240

    def load(self, address: int) -> int:
        return self.words.get(address, 0)


IN_LR = Rule(Kind.NORMAL, CfaBase.SP, 0, 0, RaPlace.LR, 0, FpPlace.SAME, 0)
BY_FP = Rule(Kind.NORMAL, CfaBase.FP, 16, 0, RaPlace.CFA, -8, FpPlace.CFA, -16)


@given(st.integers(LOW + 16, HIGH))
def test_the_mask_refuses_and_accepts_exactly_the_cfas_named(cfa: int) -> None:
    """Half of all aligned CFAs are refused; 8 modulo 16 is not misaligned to it."""
    said = by_sframe(Fake(IN_LR), 1, (cfa, cfa, PC))[0]  # type: ignore[arg-type]
    refused = cfa & 1 or cfa & 4 or cfa & 16
    assert said == (REJECTED if refused else FRAME)


def test_what_the_mask_makes_of_aligned_and_misaligned_cfas() -> None:
    said = [by_sframe(Fake(IN_LR), 1, (LOW + 64 + at, 0, PC))[0] for at in range(0, 64, 8)]  # type: ignore[arg-type]
    assert said == [FRAME, FRAME, REJECTED, REJECTED] * 2


@given(st.integers(LOW // 32, HIGH // 32 - 2), st.integers(-64, 64))
def test_fp_below_sp_is_rejected_where_the_cfa_rests_on_fp(block: int, above: int) -> None:
    fp = block * 32 + 16
    sp = fp + above * 8
    said = by_sframe(Fake(BY_FP), 1, (sp, fp, 0))[0]  # type: ignore[arg-type]
    assert (said == REJECTED) == (fp < sp)


def walked(name: str, mem: Fake, fp: int, mode: int = BOUNDARY, sp: int = LOW) -> tuple[int, list[int]]:
    """The walk's status and its return addresses."""
    this = unwinder(name)
    start, step = forms(this)
    cursor = start(mode, PC, Regs(PC, sp, fp, PC + 4, 0))
    found: list[int] = []
    for _ in range(1000):
        status, ra, cursor = step(mem, cursor)
        if status == FRAME and len(found) == this.cap:
            status = this.cap_status
        if status != FRAME:
            return status, found
        found.append(ra)
        assert max(cursor) <= MASK64
    raise AssertionError("no end")


def chain(length: int, last: tuple[int, int]) -> dict[int, int]:
    """*length* frame records from LOW + 32 on, and what the last one says instead."""
    words = {}
    for index in range(length):
        at = LOW + 32 + 32 * index
        words |= {at: at + 32, at + 8: PC + 0x100 + index}
    at = LOW + 32 * length
    return words | {at: last[0], at + 8: last[1]}


@pytest.mark.parametrize("name", ["sframe-v5", "sframe-v6"])
def test_a_truncated_walk_comes_back_as_success(name: str) -> None:
    """Derived: the return code of the walk is not looked at."""
    broken = Fake(IN_LR, chain(4, (3, PC + 0x200)))
    status, found = walked(name, broken, LOW + 32)
    assert status == END
    assert len(found) == 5, "the row's frame, three good records and the one whose FP is no address"
    long = Fake(IN_LR, chain(200, (0, 0)))
    assert walked(name, long, LOW + 32) == (END, [PC + 4, *(PC + 0x100 + index for index in range(98))])
    nothing = Fake(None)
    assert walked(name, nothing, 3) == (END, []), "the fallback itself has failed"


@pytest.mark.parametrize("name", ["sframe-v5", "sframe-v6"])
def test_a_fallback_is_found_at_the_next_entry_but_not_at_the_end(name: str) -> None:
    good = Fake(None, chain(3, (0, 0)))
    assert walked(name, good, LOW + 32) == (Reason.NO_ROW | GOES_ON, [])
    rejected = Fake(IN_LR, chain(3, (0, 0)))
    assert walked(name, rejected, LOW + 32, sp=LOW + 16) == (Reason.BAD_CFA | GOES_ON, [])
    final = Fake(None, {HIGH - 24: 1})
    assert walked(name, final, final.final_record) == (END, [])


def test_revision_5_tries_sframe_where_a_record_fails_and_takes_fp_for_sp() -> None:
    """Derived; revision 6 only ends."""
    row = Rule(Kind.NORMAL, CfaBase.SP, 32, 0, RaPlace.CFA, -8, FpPlace.SAME, 0)
    fp = LOW + 64
    mem = Fake(row, {fp: LOW, fp + 8: PC, LOW + 24: PC + 0x40, fp + 16 + 24: PC + 0x80})
    assert walked("sframe-v6", mem, fp, mode=1) == (END, [PC])
    assert walked("sframe-v5", mem, fp, mode=1) == (END, [PC, PC + 0x40])
