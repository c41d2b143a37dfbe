"""Designs that strain memoisation, many at once, on guests that smash what they read."""

from __future__ import annotations

from collections import Counter

import pytest

from lab.engine.native.cells import Changed, S
from lab.engine.native.engine import MOST_UNWINDERS, NativeEngine
from lab.engine.plan import Plan
from lab.engine.run import execute
from lab.machine.machine import Limits
from lab.registry import all_unwinders
from lab.unwind.api import BOUNDARY
from tests.engine.native.agreement import assert_agree, case, difference
from tests.engine.native.designs import COSTLY, DESIGNS
from tests.engine.smashing import catalogue, random_program
from tests.support import ARCH_NAMES, assemble

SHAPES = ("longjmp", "stack-moves", "self-modifying", "toggle", "over")
SHORT = Limits(150, 120)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_each_design_on_random_programs(arch: str) -> None:
    said: Counter[tuple[int, str]] = Counter()
    for seed in range(4):
        execution = assert_agree(
            case(random_program(arch, seed), DESIGNS, stacks=8 * (seed % 2), model=("kernel", "signal")[seed // 2])
        )
        said.update({(t.unwinder, t.judgement.verdict.value): t.stops for t in execution.tallies})
    different = {index for index, _ in said}
    assert different == set(range(len(DESIGNS)))
    assert {verdict for _, verdict in said} == {"exact", "extra", "missing", "refused", "crash"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("name", SHAPES)
def test_each_design_on_odd_shapes(arch: str, name: str) -> None:
    program = next(p for p in catalogue() if (p.arch, p.name) == (arch, name))
    execution = assert_agree(case(program.make(), DESIGNS, limits=Limits(700, 120), stacks=0), status=None)
    assert execution.instructions


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_designs_without_an_end(arch: str) -> None:
    """Thousands of steps a walk, thousands of refusals, loops that do not come back."""
    said = assert_agree(case(random_program(arch, 5), COSTLY, limits=SHORT, stacks=0), status=None)
    texts = {t.judgement.reason for t in said.tallies}
    assert {"endless: no end after 4096 steps", "not_on_shadow"} <= texts
    assert any("did not end" in text for text in texts)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_more_unwinders_than_fit_one_run(arch: str) -> None:
    """Two native executions, merged under the plan's own numbers."""
    some = [u for u in all_unwinders() if u.unsupported(arch, has_shadow=False) is None]
    many = (*DESIGNS, *some, *4 * DESIGNS)[: MOST_UNWINDERS + 2]
    plan = Plan(many, ("boundary", "call"), Limits(60, 120), stacks=2)
    image = random_program(arch, 7)
    expected, found = execute(image, None, plan, "reference"), execute(image, None, plan)
    assert not difference(case(image, many), expected, found)
    assert found.engines == ("native",) * (MOST_UNWINDERS + 2)
    assert found.notes == ()


HANGING = {
    "aarch64": "mov x9, x29\n mov x29, #64\n nop\n nop\n nop\n mov x29, x9\n mov x0, #0\n ret",
    "x86_64": "mov %rbp, %rax\n mov $64, %ebp\n nop\n nop\n nop\n mov %rax, %rbp\n xor %eax, %eax\n ret",
}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_stop_after_a_hang_is_a_crash_even_where_nothing_has_changed(arch: str) -> None:
    """The refusal before the hang is not said again: the unwinder is not called any more."""
    image = assemble(arch, f"FUNC test_main\n {HANGING[arch]}\nEND test_main\n")
    for stacks in (0, 8):
        execution = assert_agree(case(image, COSTLY[:1], stacks=stacks))
        said = Counter(t.judgement.verdict.value for t in execution.tallies if t.mode == BOUNDARY)
        assert said["refused"] and said["crash"] > 3


class Audited(NativeEngine):
    """Every stop is judged by the reference engine's code too."""

    def _tick(self, a: int, b: int) -> int | None:
        more = super()._tick(a, b)
        self.state[S.AUDIT] = 1
        self.state[S.CHANGED] |= Changed.UNSURE
        return more

    def _audit(self, a: int, b: int) -> None:
        super()._audit(a, b)
        self.state[S.INSTRUCTIONS] -= self.state[S.LEFT]
        self.state[S.LEFT] = 0


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_looking_at_every_stop_finds_no_difference_and_makes_none(arch: str) -> None:
    """That a design has hung is known from stops that Python did not see."""
    image = assemble(arch, f"FUNC test_main\n {HANGING[arch]}\nEND test_main\n")
    plan = Plan((*COSTLY[:1], *DESIGNS), ("boundary", "call"), stacks=0)
    assert Audited(image, None, plan).run().tallies == NativeEngine(image, None, plan).run().tallies
