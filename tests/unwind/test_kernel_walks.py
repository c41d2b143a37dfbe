"""The kernels' own walks where something is odd: stacks, pt_regs, ends, and what rules make of them."""

from __future__ import annotations

import pytest

from lab.metadata.rules import CfaBase, Deref, Flag, FpPlace, Kind, RaPlace, Rule
from lab.unwind.api import BOUNDARY, CALL, END, GOES_ON, Reason
from tests.unwind.fake_mem import HIGH, IRQ_HIGH, IRQ_LOW, LOW, OTHER_LOW, PC, Fake, walked
from tests.unwind.test_stacks import RA, arm64_regs, records, x86

CS, SP, IP, BP = 136, 152, 128, 32
NO_ROW = Reason.NO_ROW | GOES_ON


def orc(rule: Rule, words: dict[int, int], irq_low: int = 0) -> Fake:
    mem = Fake(rule, words, irq_low)
    mem.metadata_offset, mem.regs_pc_offset, mem.regs_fp_offset, mem.regs_sp_offset = 0, IP, BP, SP
    return mem


def row(kind: Kind, base: CfaBase = CfaBase.SP, offset: int = 0, deref: Deref = Deref.NONE, flags: int = 2) -> Rule:
    return Rule(kind, base, offset, deref, RaPlace.CFA, -8, FpPlace.SAME, 0, flags)


def test_orc_goes_on_from_a_whole_pt_regs_and_looks_up_its_ip() -> None:
    regs = {LOW + CS: 0x10, LOW + IP: RA, LOW + SP: LOW + 0x200}
    assert walked("orc", orc(row(Kind.REGS), regs), 0) == (NO_ROW, [RA])
    assert walked("orc", orc(row(Kind.REGS), regs | {LOW + CS: 0x33}), 0) == (END, []), "user mode's"
    assert walked("orc", orc(row(Kind.REGS), regs | {LOW + IP: 0x10}), 0) == (Reason.NOT_TEXT, [])
    by_fp = orc(row(Kind.REGS, CfaBase.FP), regs | {LOW + SP: LOW + 64})
    assert walked("orc", by_fp, LOW, sp=LOW + 64) == (Reason.BAD_CFA, []), "SP does not rise"
    assert walked("orc", by_fp, LOW, sp=LOW + 56) == (NO_ROW, [RA])
    nowhere = orc(row(Kind.REGS, CfaBase.FP), regs)
    assert walked("orc", nowhere, 0x1234) == (Reason.BAD_CFA, []), "not on a stack: an error, never a fault"


@pytest.mark.parametrize(("flags", "ends"), [(int(Flag.SIGNAL), (Reason.BAD_CFA, [PC])), (0, (NO_ROW, [PC]))])
def test_orc_looks_up_ip_or_the_byte_before_by_the_signal_bit(flags: int, ends: tuple[int, list[int]]) -> None:
    """The one row begins at PC: whether it is found again says what was looked up."""
    regs = {LOW + CS: 0x10, LOW + IP: PC, LOW + SP: HIGH - 64}
    assert walked("orc", orc(row(Kind.REGS, flags=flags), regs), 0) == ends


def test_orc_goes_on_from_what_the_hardware_has_pushed() -> None:
    frame = {LOW + 64: RA, LOW + 72: 0x10, LOW + 88: LOW + 0x200}
    mem = orc(row(Kind.REGS_PARTIAL, offset=64), frame | {LOW + 0x308: RA + 1, LOW + 0x300: 0})
    assert walked("orc", mem, LOW + 0x300) == (NO_ROW, [RA])
    assert walked("orc", mem, LOW + 0x300, on=True)[1] == [RA, RA + 1], "BP is as it was"
    user = orc(row(Kind.REGS_PARTIAL, offset=64), frame | {LOW + 72: 0x33})
    assert walked("orc", user, 0) == (END, [])


@pytest.mark.parametrize("deref", [Deref.BEFORE, Deref.AFTER])
def test_orc_reads_words_on_stacks_only(deref: Deref) -> None:
    off = orc(row(Kind.NORMAL, CfaBase.FP, 8, deref), {0x1234: LOW + 64, 0x123C: LOW + 64})
    assert walked("orc", off, 0x1234) == (Reason.BAD_CFA, [])
    saved = Rule(Kind.NORMAL, CfaBase.SP, 16, 0, RaPlace.CFA, -8, FpPlace.FP, -8)
    assert walked("orc", orc(saved, {LOW + 8: RA}), 0x1234) == (Reason.BAD_CFA, [])
    assert walked("orc", orc(saved, {LOW + 8: RA}), LOW + 64) == (NO_ROW, [RA])


def test_orc_leaves_the_irq_stack_and_no_other() -> None:
    to_task = orc(row(Kind.NORMAL, CfaBase.FP, 16), {LOW + 72: RA}, IRQ_LOW)
    assert walked("orc", to_task, LOW + 64, sp=IRQ_LOW + 64) == (NO_ROW, [RA])
    assert walked("orc", to_task, LOW + 64, sp=OTHER_LOW + 64) == (Reason.BAD_CFA, [])


def test_x86_frames_leave_the_irq_stack_for_the_one_it_was_entered_from() -> None:
    words = records(IRQ_LOW + 64, LOW + 64)
    linked = x86(words | {IRQ_HIGH - 8: LOW + 32})
    elsewhere = x86(words | {IRQ_HIGH - 8: OTHER_LOW + 32})
    back = x86(records(LOW + 64, IRQ_LOW + 64) | {IRQ_HIGH - 8: LOW + 32})
    for mem in (linked, elsewhere, back):
        mem.irq_low, mem.irq_high = IRQ_LOW, IRQ_HIGH
    assert walked("fp-x86-reliable", linked, IRQ_LOW + 64, CALL) == (END, [RA, RA + 1])
    assert walked("fp-x86-reliable", elsewhere, IRQ_LOW + 64, CALL) == (Reason.FP_OFF_STACK, [RA])
    assert walked("fp-x86-reliable", back, LOW + 64, CALL) == (Reason.FP_OFF_STACK, [RA]), "not to the IRQ stack"


def with_task(words: dict[int, int]) -> Fake:
    """A record at LOW + 64 that links to *words*, and a task whose own pt_regs are at TASK."""
    mem = x86({LOW + 72: RA} | words)
    mem.task_regs = mem.final_record = TASK
    return mem


TASK = HIGH - 0x400
LAST = TASK - 16


def test_x86_the_last_frame_is_reported_and_is_the_end_wherever_it_links_to() -> None:
    mem = with_task({LOW + 64: LAST, LAST: 3, LAST + 8: RA + 7})
    assert walked("fp-x86-reliable", mem, LOW + 64, CALL) == (END, [RA, RA + 7])


@pytest.mark.parametrize(("again", "is_end"), [(RA + 7, True), (RA + 6, False)])
def test_x86_the_last_frame_may_be_a_copy_that_a_realigned_stack_has(again: int, is_end: bool) -> None:
    """One word lower, with the same return address."""
    mem = with_task({LOW + 64: LAST - 8, LAST - 8: 3, LAST: again, LAST + 8: RA + 7})
    assert walked("fp-x86-reliable", mem, LOW + 64, CALL) == (END if is_end else Reason.FP_OFF_STACK, [RA, again])


@pytest.mark.parametrize(("saved", "is_end"), [(3, True), (4, False)])
def test_x86_the_last_frame_may_be_one_that_ftrace_has_made(saved: int, is_end: bool) -> None:
    """bp, parent, bp, function, parent, pt_regs."""
    at = LAST - 24
    mem = with_task({LOW + 64: at, at: 3, at + 8: RA + 7, at + 16: saved, at + 24: RA + 8, at + 32: RA + 7})
    assert walked("fp-x86-reliable", mem, LOW + 64, CALL) == (END if is_end else Reason.FP_OFF_STACK, [RA, RA + 7])


@pytest.mark.parametrize("name", ["fp", "fp-reliable", "sframe-v6"])
def test_a_pt_regs_is_consumed_whole(name: str) -> None:
    """A record that lies where the pt_regs of the next one would: passed already."""
    words = records(LOW + 0x480, LOW + 0x400 + 296, LOW + 0x800) | arm64_regs(LOW + 0x400, LOW + 0x800)
    mem = Fake(words=words)
    del mem.words[LOW + 0x400 + 296], mem.words[LOW + 0x400 + 296 + 8]
    refused = Reason.FP_OFF_STACK if name == "fp-reliable" else END
    assert walked(name, mem, LOW + 0x480, CALL) == (refused, [RA])


def test_guess_goes_on_from_the_x86_irq_stack_where_it_was_entered() -> None:
    words = {IRQ_LOW + 64: RA, IRQ_HIGH - 8: HIGH - 64, HIGH - 72: RA + 1, HIGH - 56: RA + 2}
    mem = x86(words)
    mem.irq_low, mem.irq_high = IRQ_LOW, IRQ_HIGH
    assert walked("guess", mem, 0, sp=IRQ_LOW) == (END, [RA, RA + 2])
    arm64 = Fake(words=words, irq_low=IRQ_LOW)
    assert walked("guess", arm64, 0, sp=IRQ_LOW) == (END, [RA])


def through_an_interrupt(kind: int) -> Fake:
    """A handler's record on the IRQ stack, the entry code's on the task's, a metadata record, and the task's own."""
    regs = LOW + 0x400
    words = records(IRQ_LOW + 64, LOW + 0x300, regs + 296, LOW + 0x800) | arm64_regs(regs, LOW + 0x800)
    words |= {regs + 296: 0, regs + 304: 0, regs + 312: kind, regs + 264: 5}
    return Fake(words=words, irq_low=IRQ_LOW)


def test_rules_follow_the_records_from_the_irq_stack_to_the_task() -> None:
    trace = [RA, RA + 1, RA + 9, RA + 3]
    at = {"fp": IRQ_LOW + 64, "mode": CALL, "sp": IRQ_LOW + 32}
    assert walked("fp", through_an_interrupt(2), **at) == (END, trace)  # type: ignore[arg-type]
    assert walked("fp+end-check", through_an_interrupt(2), **at) == (END, trace)  # type: ignore[arg-type]
    refused = (Reason.REGS_FRAME | GOES_ON, trace[:2])
    assert walked("fp+no-pt-regs", through_an_interrupt(2), **at) == refused  # type: ignore[arg-type]
    assert walked("fp+pstate", through_an_interrupt(2), **at)[0] == Reason.EXCEPTION | GOES_ON  # type: ignore[arg-type]
    broken = walked("fp+end-check", through_an_interrupt(3), **at)  # type: ignore[arg-type]
    assert broken == (Reason.NOT_AT_END | GOES_ON, trace[:2])


@pytest.mark.parametrize("mode", [BOUNDARY, CALL])
def test_end_check_knows_where_an_x86_stack_ends(mode: int) -> None:
    words = records(LOW + 64, LOW + 128)
    assert walked("fp-x86+end-check", x86(words), LOW + 64, mode) == (END, [RA, RA + 1])
    broken = x86(words | {LOW + 128: 3})
    assert walked("fp-x86+end-check", broken, LOW + 64, mode) == (Reason.NOT_AT_END | GOES_ON, [RA, RA + 1])
