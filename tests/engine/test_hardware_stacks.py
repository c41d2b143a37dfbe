"""The hardware's shadow stack of a guest with several tasks, exceptions and user mode."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from lab.engine.native.cells import S
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Execution, Injection
from lab.engine.reference import ReferenceEngine
from lab.images.image import Image
from lab.machine.loading import HARDWARE_SHADOW
from lab.registry import unwinder
from lab.selftest.differences import differences
from lab.unwind.api import BLOCKED, BOUNDARY, CALL, INJECT, Regs, Unwinder
from tests.engine.coroutines import coroutines
from tests.engine.kernel import kernel_image, plan
from tests.engine.native.agreement import assert_agree, case
from tests.support import ARCH_NAMES

HW = unwinder("hw-shadow")
EACH_PC = Injection(each=1, every=1999, seed=1)


def verdicts(image: Image, execution: Execution, mode: int) -> Counter[tuple[str, str]]:
    """(verdict, function) -> stops of the first unwinder."""
    found: Counter[tuple[str, str]] = Counter()
    for tally in execution.tallies:
        if (tally.unwinder, tally.mode) == (0, mode):
            found[tally.judgement.verdict.value, image.locate(tally.pc).split("+")[0]] += tally.stops
    return found


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_each_task_has_its_own_and_exceptions_are_seen_through(arch: str) -> None:
    """Exact in every handler, nested ones included, and of every task that is switched out.  At a boundary it differs
    in two places, both right: a task's first switch will return to what the truth never saw called; and SYSCALL leaves
    no pointer until SP is the kernel's."""
    image = kernel_image(arch, "early")
    execution = NativeEngine(image, None, plan(HW, injection=EACH_PC)).run()
    assert execution.notes == (), "no fault of the processor"
    for mode in (CALL, INJECT, BLOCKED):
        assert {verdict for verdict, _ in verdicts(image, execution, mode)} == {"exact"}
    assert execution.injections > 500 and execution.switches > 150
    others = {key for key in verdicts(image, execution, BOUNDARY) if key[0] != "exact"}
    expected = {("extra", "cpu_switch_to")}
    assert others == expected | ({("refused", "vector_sync_user")} if arch == "x86_64" else set())


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_two_tasks_in_both_engines(arch: str) -> None:
    image = coroutines(arch)
    execution = assert_agree(case(image, [HW], ("boundary", "call", "blocked"), stacks=100))
    assert execution.notes == ()
    assert verdicts(image, execution, BLOCKED).keys() == {("exact", "yield_a"), ("exact", "yield_b")}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_both_engines_agree_through_exceptions_and_on_faults(arch: str) -> None:
    """longjmp leaves entries behind, which a processor would have faulted for."""
    image, asked = kernel_image(arch, "longjmp"), plan(HW, modes=("inject", "blocked"), injection=EACH_PC)
    reference = ReferenceEngine(image, None, asked).run()
    assert "would have faulted" in reference.notes[0]
    for memo in (True, False):
        native = NativeEngine(image, None, replace(asked, memo=memo)).run()
        assert native.notes == reference.notes
        assert differences(image, asked.unwinders, ("native", native), ("reference", reference)) == []


class Watching(ReferenceEngine):
    """Keeps what is on the shadow stack when an exception is taken, from the pointer on."""

    def __init__(self, image: Image, *unwinders: Unwinder) -> None:
        super().__init__(image, None, plan(*unwinders, modes=("inject",), injection=Injection(every=499, seed=1)))
        self.seen: list[tuple[int, tuple[int | None, ...], int]] = []

    def _delivered(self, ra: int, sp: int) -> None:
        before = self.hardware.pointer
        super()._delivered(ra, sp)
        at, load = self.hardware.pointer, self.machine.memory.load
        self.seen.append((ra, tuple(load(word) for word in range(at, before if at else 0, 8)), before))

    def _handler_stop(self, regs: Regs) -> None:
        super()._handler_stop(regs)
        assert self.hardware.pointer < self.reader.hw_limit


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_an_exception_leaves_the_processor_s_record(arch: str) -> None:
    """Arm DDI 0487, D11.4.1: 9, ELR, SPSR, LR.  Intel SDM vol. 2, INT n: SSP, LIP, CS (upwards in memory)."""
    engine = Watching(kernel_image(arch, "early"), HW)
    engine.run()
    in_kernel = [(pc, words, before) for pc, words, before in engine.seen if words]
    assert len(in_kernel) > 20
    for pc, words, before in in_kernel:
        if arch == "aarch64":
            assert words[:2] == (9, pc) and len(words) == 4
            assert words[2] is not None and words[2] & 0xF == 5, "SPSR: EL1h"
        else:
            assert words == (before, pc, 0x10)
    in_user = [words for _, words, _ in engine.seen if not words]
    assert in_user, "system calls"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_what_is_no_record_is_not_taken_for_one(arch: str) -> None:
    """A word that points back, or at itself, would make the walk go round."""
    image = coroutines(arch)
    engine = ReferenceEngine(image, None, plan(HW, modes=("boundary",)))
    base, limit = engine.reader.hw_base, engine.reader.hw_limit
    mem = engine.reader.view
    for word in (base, limit - 16, limit + 8):
        engine.machine.memory.write(limit - 16, word.to_bytes(8, "little"))
        assert HW.step(mem, (limit - 16,)) == (0, word, (limit - 8,)), hex(word)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_pointer_that_is_elsewhere_is_a_fault_and_no_access(arch: str) -> None:
    """Compiled code reaches host memory by the pointer.  0 is what SYSCALL leaves; told of an exception twice, the
    engine once kept it for a task's, and the write below it ended the process."""
    image = coroutines(arch)
    asked = plan(HW, modes=("boundary", "call", "blocked"))
    for pointer in (0, 8, HARDWARE_SHADOW - 8, HARDWARE_SHADOW + (1 << 40), (1 << 64) - 8):
        native, reference = NativeEngine(image, None, asked), ReferenceEngine(image, None, asked)
        native.state[S.HSSP] = reference.hardware.pointer = pointer
        said, known = native.run(), reference.run()
        assert said.notes == known.notes and "would have faulted" in known.notes[0], hex(pointer)
        assert differences(image, asked.unwinders, ("native", said), ("reference", known)) == []


def test_nobody_is_told_of_a_delivery_twice() -> None:
    """A merge once left two lines that asked for it: each exception was pushed twice, and parked the pointer 0."""
    engine = NativeEngine(coroutines("x86_64"), None, plan(HW, modes=("boundary",)))
    with pytest.raises(AssertionError, match="told of each delivery twice"):
        engine.machine.on_delivery(engine.asides.delivered)
