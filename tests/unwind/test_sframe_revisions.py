"""Revisions 5 and 6 of the arm64 SFrame series: their defects, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.metadata.rules import CfaBase, FpPlace, Kind, RaPlace, Rule
from lab.unwind import sframe_v5, sframe_v6
from lab.unwind.api import BLOCKED, CALL, END, FRAME, GOES_ON, Reason
from lab.unwind.sframe_arm64 import REJECTED, by_sframe
from tests.unwind.fake_mem import HIGH, LOW, PC, Fake, walked

IN_LR = Rule(Kind.NORMAL, CfaBase.SP, 0, 0, RaPlace.LR, 0, FpPlace.SAME, 0)
BY_FP = Rule(Kind.NORMAL, CfaBase.FP, 16, 0, RaPlace.CFA, -8, FpPlace.CFA, -16)
BY_SP = Rule(Kind.NORMAL, CfaBase.SP, 32, 0, RaPlace.CFA, -8, FpPlace.SAME, 0)


def said(rule: Rule, sp: int, fp: int, mask: int = sframe_v6.MISALIGNED) -> int:
    """What a row says for registers of an interrupted context."""
    return by_sframe(Fake(rule), 1, (sp, PC, 1), (fp, 0, 0, 0), mask)[0]  # type: ignore[arg-type]


@given(st.integers(LOW + 16, HIGH))
def test_the_mask_of_revision_6_refuses_and_accepts_exactly_the_cfas_named(cfa: int) -> None:
    """Half of all aligned CFAs are refused; 8 modulo 32 is not misaligned to it."""
    refused = cfa & 1 or cfa & 4 or cfa & 16
    assert said(IN_LR, cfa, LOW) == (REJECTED if refused else FRAME)


@given(st.integers(LOW + 16, HIGH))
def test_the_mask_of_revision_5_is_that_of_eight_bytes(cfa: int) -> None:
    assert said(IN_LR, cfa, LOW, sframe_v5.MISALIGNED) == (REJECTED if cfa % 8 else FRAME)


def test_what_the_masks_make_of_aligned_and_misaligned_cfas() -> None:
    cfas = [LOW + 64 + at for at in range(0, 64, 8)]
    assert [said(IN_LR, cfa, 0) for cfa in cfas] == [FRAME, FRAME, REJECTED, REJECTED] * 2
    assert {said(IN_LR, cfa, 0, sframe_v5.MISALIGNED) for cfa in cfas} == {FRAME}
    names = ("sframe-v5", "sframe-v6")
    found = [walked(name, Fake(IN_LR, chain(3, (0, 0))), LOW + 32, sp=LOW + 16) for name in names]
    assert found == [(END, [PC + 4, PC + 0x100, PC + 0x101]), (Reason.BAD_CFA | GOES_ON, [])]


@given(st.integers(LOW // 32, HIGH // 32 - 2), st.integers(-64, 64))
def test_fp_below_sp_is_rejected_where_the_cfa_rests_on_fp(block: int, above: int) -> None:
    fp = block * 32 + 16
    sp = fp + above * 8
    mem = Fake(BY_FP, {fp + 8: PC + 0x40})
    rejected: tuple[int, list[int]] = (Reason.BAD_CFA | GOES_ON, [])
    assert walked("sframe-v6", mem, fp, sp=sp) == (rejected if fp < sp else (END, [PC + 0x40]))


def chain(length: int, last: tuple[int, int]) -> dict[int, int]:
    """*length* frame records from LOW + 32 on, and what the last one says instead."""
    words: dict[int, int] = {}
    for index in range(length):
        at = LOW + 32 + 32 * index
        words |= {at: at + 32, at + 8: PC + 0x100 + index}
    at = LOW + 32 * length
    return words | {at: last[0], at + 8: last[1]}


@pytest.mark.parametrize("name", ["sframe-v5", "sframe-v6"])
def test_a_truncated_walk_comes_back_as_success(name: str) -> None:
    """The return code of the walk is not looked at."""
    broken = Fake(IN_LR, chain(4, (3, PC + 0x200)))
    status, found = walked(name, broken, LOW + 32)
    assert status == END
    assert len(found) == 5, "the row's frame, three good records and the one whose FP is no address"
    long = Fake(IN_LR, chain(200, (0, 0)))
    assert walked(name, long, LOW + 32) == (END, [PC + 4, *(PC + 0x100 + index for index in range(98))])
    nothing = Fake(None)
    assert walked(name, nothing, 3) == (END, []), "the fallback itself has failed"
    odd = Fake(IN_LR, chain(4, (0, 0)))
    assert walked(name, odd, LOW + 36) == (END, []), "FP not aligned: neither SFrame nor the fallback"


@pytest.mark.parametrize("name", ["sframe-v5", "sframe-v6"])
def test_a_fallback_is_found_at_the_next_entry_but_not_at_the_end(name: str) -> None:
    good = Fake(None, chain(3, (0, 0)))
    assert walked(name, good, LOW + 32) == (Reason.NO_ROW | GOES_ON, [])
    final = Fake(None, {HIGH - 24: 1})
    assert walked(name, final, final.final_record) == (END, [])


@pytest.mark.parametrize("name", ["sframe-v5", "sframe-v6"])
def test_the_word_of_the_return_address_is_consumed(name: str) -> None:
    """A record below it is not gone back to, though nothing but SFrame has passed it."""
    fp = LOW + 32
    mem = Fake(BY_SP, {LOW + 88: PC + 0x40, fp: LOW + 128, fp + 8: PC + 0x80})
    assert walked(name, mem, fp, sp=LOW + 64) == (END, [PC + 0x40])
    above = Fake(BY_SP, {LOW + 88: PC + 0x40, LOW + 96: LOW + 128, LOW + 104: PC + 0x80})
    assert walked(name, above, LOW + 96, sp=LOW + 64) == (END, [PC + 0x40, PC + 0x80])


def test_revision_5_tries_sframe_where_a_record_fails_and_takes_a_record_for_sp() -> None:
    """Revision 6 only ends.  SP after a record is that record's address; of a blocked task it is the saved one."""
    fp = LOW + 64
    mem = Fake(BY_SP, {fp: LOW, fp + 8: PC, fp + 24: PC + 0x40, LOW + 24: PC + 0x80})
    assert walked("sframe-v6", mem, fp, mode=CALL) == (END, [PC])
    assert walked("sframe-v5", mem, fp, mode=CALL) == (END, [PC, PC + 0x40])
    lost = Fake(BY_SP, {LOW + 256 + 24: PC + 0x40, LOW + 256 + 8: PC + 0x80})
    assert walked("sframe-v5", lost, 0, mode=BLOCKED, sp=LOW + 256) == (END, [PC + 0x40])
    assert walked("sframe-v5", lost, 0, mode=CALL, sp=LOW + 256) == (END, [PC + 0x80]), "16 bytes too low"
    in_lr = Fake(IN_LR, {fp: LOW, fp + 8: PC})
    assert walked("sframe-v5", in_lr, fp, mode=CALL) == (END, [PC]), "no LR but that of a pt_regs"


def interrupted(above: int) -> dict[int, int]:
    """A record at LOW + 32, then a PT_REGS at LOW + 0x400 that was interrupted at PC with SP *above*."""
    regs = LOW + 0x400
    return {LOW + 32: regs + 296, LOW + 40: PC + 0x100, regs + 312: 2, regs + 256: PC, regs + 248: above}


def test_revision_5_keeps_an_older_sp_across_a_pt_regs() -> None:
    """So that an SP-based row reads a word below the interrupted stack pointer."""
    above = LOW + 0x600
    mem = Fake(BY_SP, interrupted(above) | {above + 24: PC + 0x40, LOW + 32 + 24: PC + 0x80, above + 32: 0})
    assert walked("sframe-v6", mem, LOW + 32, mode=CALL) == (END, [PC + 0x100, PC, PC + 0x40])
    low = walked("sframe-v5", mem, LOW + 32, mode=CALL)
    assert low == (END, [PC + 0x100, PC]), "that word has been passed: rejected, and the fallback has no record"


def test_revision_5_takes_the_third_word_at_fp_for_a_type_where_there_is_no_row() -> None:
    fp = LOW + 0x400 + 296
    mem = Fake(None, {fp: LOW + 0x800, fp + 8: PC, fp + 16: 2, fp - 40: PC + 0x40, LOW + 0x808: PC + 0x80})
    assert walked("sframe-v6", mem, fp) == (Reason.NO_ROW | GOES_ON, [])
    assert walked("sframe-v5", mem, fp) == (END, [PC + 0x40]), "an address out of what it takes for pt_regs, unmarked"
