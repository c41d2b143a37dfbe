"""definitions: Truth on several stacks, and the stops ``inject`` and ``blocked``."""

from __future__ import annotations

from functools import cache

import pytest

from lab.engine.plan import Injection, Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.switches import Seen
from lab.errors import InputError
from lab.features import DynamicFeatures
from lab.images.image import Image
from lab.machine.stacks import StackKind, guest_stacks
from lab.registry import unwinder
from lab.truth import GuestTruth
from lab.unwind.api import BLOCKED, BOUNDARY, INJECT, Regs
from tests.engine.coroutines import coroutines
from tests.engine.kernel import kernel_image, plan
from tests.support import ARCH_NAMES, assemble

CALL_A, CALL_B = 0x1004, 0x2004


class Stops(ReferenceEngine):
    """Notes every stop: (mode, pc, the pc it is counted at, true trace, number of the stack, SP)."""

    def __init__(self, image: Image, asked: Plan) -> None:
        super().__init__(image, None, asked)
        self.noted: list[tuple[int, int, int, tuple[int, ...], int, int]] = []
        self.blocked: list[tuple[Regs, int]] = []

    def _stop(self, mode: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures, place: int | None = None) -> None:
        super()._stop(mode, regs, seen, dynamic, place)
        at = regs.pc if place is None else place
        self.noted.append((mode, regs.pc, at, seen.truth, self._on, regs.sp))
        if mode == BLOCKED:
            self.blocked.append((regs, self.reader.stack_low))

    def kind(self, index: int) -> StackKind:
        return self.guest.stacks[index].kind


@cache
def interrupted(arch: str) -> Stops:
    engine = Stops(kernel_image(arch, "early"), plan(unwinder("oracle"), injection=Injection(1, 997)))
    assert engine.run().outcome.status == 0
    return engine


@cache
def switching(arch: str) -> Stops:
    engine = Stops(coroutines(arch), Plan((unwinder("oracle"),), ("boundary", "call", "blocked")))
    assert engine.run().outcome.status == 0
    return engine


def test_each_stack_has_a_truth_of_its_own() -> None:
    truth = GuestTruth((False, False))
    truth.now.call(CALL_A, 0x100)
    truth.now.before(0x3000, 0x100)
    truth.enter(1)
    truth.now.before(0x3004, 0x9000)
    assert truth.now.trace() == (), "a task's stack stands upon nothing"
    truth.now.call(CALL_B, 0x9000)
    truth.now.before(0x3008, 0x9000)
    truth.enter(0)
    truth.now.before(0x300C, 0x100)
    assert truth.now.trace() == (CALL_A,), "no SP of another stack has ended it"
    truth.now.before(CALL_A, 0x100)
    assert truth.now.trace() == ()


def test_an_interrupt_stack_entered_empty_stands_upon_the_one_sp_came_from() -> None:
    truth = GuestTruth((False, True, False))
    truth.now.call(CALL_A, 0x100)
    truth.now.before(0x3000, 0x100)
    truth.enter(1)
    truth.now.before(0x3004, 0x9000)
    truth.now.call(CALL_B, 0x9000)
    truth.now.before(0x4000, 0x9000)
    assert truth.now.trace() == (CALL_B, CALL_A)
    truth.enter(2)
    truth.enter(1)
    truth.now.before(0x4004, 0x8FF0)
    assert truth.now.trace() == (CALL_B, CALL_A), "it was not empty: it stands where it stood"
    truth.now.before(CALL_B, 0x9000)
    assert truth.now.innermost is None and truth.now.trace() == (CALL_A,)


def test_an_exception_is_an_activation_but_no_call() -> None:
    truth = GuestTruth((False,))
    truth.now.take(0x1000, 0x100)
    truth.now.before(0x5000, 0x100)
    assert truth.now.trace() == truth.now.inside() == (0x1000,) and truth.calls == 0
    truth.now.before(0x1000, 0x100)
    assert truth.now.trace() == ()


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_tasks_do_not_see_each_other(arch: str) -> None:
    engine = switching(arch)
    locate = engine.image.locate
    for mode, pc, _, truth, _, _ in engine.noted:
        if mode == BOUNDARY and locate(pc).startswith("deeper"):
            assert {locate(ra).split("+")[0] for ra in truth} == {"other"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_on_the_interrupt_stack_the_interrupted_task_is_live(arch: str) -> None:
    engine = interrupted(arch)
    seen = 0
    for mode, _, place, truth, stack, _ in engine.noted:
        if mode == INJECT and engine.kind(stack) is StackKind.IRQ and place in truth:
            seen += 1
    assert seen > 100


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_user_code_is_not_on_a_kernel_trace(arch: str) -> None:
    engine = interrupted(arch)
    user = {"user_main", "user_round", "user_call"}
    on_user = [n for n in engine.noted if engine.kind(n[4]) is StackKind.USER]
    assert on_user
    for _, _, _, truth, stack, _ in engine.noted:
        if engine.kind(stack) is not StackKind.USER:
            assert not user & {engine.image.locate(ra).split("+")[0] for ra in truth}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_inject_stops_in_the_handler_and_is_counted_where_it_interrupted(arch: str) -> None:
    engine = interrupted(arch)
    stops = [n for n in engine.noted if n[0] == INJECT]
    assert {n[1] for n in stops} == {engine.image.symbols["lab_handler_stop"]}
    assert len({n[2] for n in stops}) > 100
    assert engine.injector is not None and len(stops) == engine.injector.taken


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_blocked_sees_what_the_switch_saved_on_the_stack_of_the_task(arch: str) -> None:
    engine = switching(arch)
    stops = [n for n in engine.noted if n[0] == BLOCKED]
    assert len(stops) == len(engine.blocked) == 8
    stacks = {stack.low: stack for stack in engine.guest.stacks}
    for (regs, low), (_, pc, _, truth, now, _) in zip(engine.blocked, stops, strict=True):
        assert stacks[low].low <= regs.sp <= stacks[low].high and stacks[low] != engine.guest.stacks[now]
        assert regs.pc == pc and regs.lr == 0
        name = engine.image.locate(pc).split("+")[0]
        assert name in {"yield_a", "yield_b"}, "where the call of the switch returns to"
        assert pc not in truth, "that call is not live: the task stands behind it"
        assert {"yield_a": "down", "yield_b": "deeper"}[name] == engine.image.locate(truth[0]).split("+")[0]


STACKS = ".data\n.globl lab_stacks\nlab_stacks: .quad {}\n.text\nFUNC test_main\n ret\nEND test_main\n"


@pytest.mark.parametrize(
    "words",
    [
        "0x1000, 0x800, 0, 0, 1, 0",
        "0x1000, 0x2000, 0, 0, 9, 0",
        "0x1001, 0x2000, 0, 0, 1, 0",
        "0x1000, 0x2000, 0, 0, 1, 0, 0x2000, 0x3000, 0, 0, 1, 0",
    ],
)
def test_a_damaged_array_of_stacks_is_refused_in_one_line(words: str) -> None:
    image = assemble("x86_64", STACKS.format(words + ", 0, 0, 0, 0, 0, 0"))
    with pytest.raises(InputError, match="lab_stacks") as caught:
        guest_stacks(image, (0x7FEFF00000, 0x7FF0000000))
    assert "\n" not in str(caught.value)
