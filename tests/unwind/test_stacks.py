"""Walks over several stacks, pt_regs met on the way, and a shadow stack beside the records."""

from __future__ import annotations

import pytest

from lab.unwind.api import BOUNDARY, CALL, END, GOES_ON, Reason
from tests.unwind.fake_mem import HIGH, IRQ_LOW, LOW, OTHER_LOW, PC, Fake, walked

RA = PC + 0x100
FINAL = HIGH - 40


def records(*places: int) -> dict[int, int]:
    """Frame records at *places*, each linked to the next, the last to FINAL, which is there."""
    words = {FINAL: 0, FINAL + 8: 0, FINAL + 16: 1}
    for index, place in enumerate(places):
        words |= {place: (*places, FINAL)[index + 1], place + 8: RA + index}
    return words


@pytest.mark.parametrize("name", ["fp", "fp-reliable"])
def test_from_the_irq_stack_to_the_task(name: str) -> None:
    mem = Fake(words=records(IRQ_LOW + 64, IRQ_LOW + 128, LOW + 64), irq_low=IRQ_LOW)
    assert walked(name, mem, IRQ_LOW + 64, CALL) == (END, [RA, RA + 1, RA + 2])


def test_a_stack_that_was_left_is_not_come_back_to() -> None:
    mem = Fake(words=records(IRQ_LOW + 64, LOW + 64, IRQ_LOW + 128), irq_low=IRQ_LOW)
    assert walked("fp", mem, IRQ_LOW + 64, CALL) == (END, [RA, RA + 1])
    assert walked("fp-reliable", mem, IRQ_LOW + 64, CALL) == (Reason.FP_OFF_STACK, [RA, RA + 1])


def test_another_task_s_stack_is_not_known() -> None:
    for irq_low in (0, IRQ_LOW):
        mem = Fake(words=records(LOW + 64, OTHER_LOW + 64), irq_low=irq_low)
        assert walked("fp-reliable", mem, LOW + 64, CALL) == (Reason.FP_OFF_STACK, [RA])


def test_what_was_consumed_is_not_consumed_again() -> None:
    mem = Fake(words=records(LOW + 128, LOW + 64))
    assert walked("fp-reliable", mem, LOW + 128, CALL) == (Reason.FP_CONSUMED, [RA])
    assert walked("fp", mem, LOW + 128, CALL) == (END, [RA])


def arm64_regs(at: int, fp: int) -> dict[int, int]:
    """A PT_REGS record whose pt_regs begin at *at*, and which was interrupted at RA + 9 with *fp*."""
    return {at + 296 + 16: 2, at + 256: RA + 9, at + 232: fp}


def test_pt_regs_are_gone_on_from_and_refused_where_reliability_is_asked_for() -> None:
    mem = Fake(words=records(LOW + 64, LOW + 0x400 + 296, LOW + 0x800) | arm64_regs(LOW + 0x400, LOW + 0x800))
    del mem.words[LOW + 0x400 + 296], mem.words[LOW + 0x400 + 296 + 8]
    assert walked("fp", mem, LOW + 64, CALL) == (END, [RA, RA + 9, RA + 2])
    assert walked("fp-reliable", mem, LOW + 64, CALL) == (Reason.EXCEPTION | GOES_ON, [RA, RA + 9])
    assert walked("fp-reliable", mem, LOW + 64, CALL, on=True) == (END, [RA, RA + 9, RA + 2])


def x86(words: dict[int, int]) -> Fake:
    mem = Fake(words=words)
    mem.metadata_offset, mem.regs_pc_offset, mem.regs_fp_offset = 0, 128, 32
    return mem


@pytest.mark.parametrize("cs", [0x10, 0x33])
def test_x86_pt_regs_have_bit_0_set(cs: int) -> None:
    """User mode's end the walk; the kernel's are gone on from, and refused where reliability is asked for."""
    regs = LOW + 0x400
    words = records(LOW + 64, regs, LOW + 0x800)
    words |= {LOW + 64: regs | 1, regs + 128: RA + 9, regs + 32: LOW + 0x800, regs + 136: cs}
    whole = (END, [RA, RA + 9, RA + 2])
    user = (END, [RA])
    assert walked("fp-x86", x86(words), LOW + 64, CALL) == (user if cs & 3 else whole)
    refused = (Reason.REGS_FRAME | GOES_ON, [RA])
    assert walked("fp-x86-reliable", x86(words), LOW + 64, CALL) == (user if cs & 3 else refused)
    assert walked("fp-x86-reliable", x86(words), LOW + 64, CALL, on=True) == (user if cs & 3 else whole)
    assert walked("fp-x86-reliable", x86(words), LOW + 64, BOUNDARY) == (Reason.REGS_FRAME | GOES_ON, [])


def test_x86_frames_do_not_overlap_and_return_to_code() -> None:
    back = records(LOW + 128, LOW + 112)
    assert walked("fp-x86-reliable", x86(back), LOW + 128, CALL) == (Reason.FP_CONSUMED, [RA])
    data = records(LOW + 64) | {LOW + 72: 0x1234}
    assert walked("fp-x86-reliable", x86(data), LOW + 64, CALL) == (Reason.NOT_TEXT, [])
    assert walked("fp-x86", x86(data), LOW + 64, CALL) == (END, [])


def test_a_shadow_stack_beside_the_records() -> None:
    shadow = {OTHER_LOW: RA + 1, OTHER_LOW + 8: RA}
    top = OTHER_LOW + 16
    good = Fake(words=records(LOW + 64, LOW + 128) | shadow)
    assert walked("scs-fp", good, LOW + 64, ssp=top) == (END, [RA, RA + 1])
    smashed = Fake(words=good.words | {LOW + 136: RA + 5})
    assert walked("scs-fp", smashed, LOW + 64, ssp=top) == (Reason.SHADOW_MISMATCH | GOES_ON, [RA])
    assert walked("scs-fp", smashed, LOW + 64, ssp=top, on=True) == (END, [RA, RA + 1]), "by the shadow stack alone"
    shorter = Fake(words=good.words)
    assert walked("scs-fp", shorter, LOW + 64, ssp=top - 8)[0] == Reason.SHADOW_MISMATCH | GOES_ON
