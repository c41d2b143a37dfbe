"""The yardstick really walks, and the clock runs while it does."""

from __future__ import annotations

import pytest

from lab.machine.machine import End, Limits, Machine
from lab.machine.outcome import Clock
from lab.machine.plain import walk_in_python
from tests.support import ARCH_NAMES, compile_c

SOURCE = """
__attribute__((noinline)) long inner(long x) { for (int i = 0; i < 5; i++) { __asm__("" : "+r"(x)); } return x; }
__attribute__((noinline)) long middle(long x) { return inner(x) + 1; }
int test_main(void) { return (int)middle(3) != 4; }
"""


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_it_walks_from_the_first_time_on_and_no_longer_than_asked(arch: str) -> None:
    image = compile_c(arch, SOURCE)
    done = walk_in_python(Machine(image, None, Limits(10_000, 60)), image.symbols["middle"], 6)
    assert (done.outcome.end, done.instructions) == (End.BUDGET, 6)
    assert 6 <= done.frames <= 6 * 3
    assert done.spent.wall_s > 0
    more = walk_in_python(Machine(image, None, Limits(10_000, 60)), image.symbols["middle"], 7)
    assert done.frames < more.frames


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_program_that_ends_before_ends_the_walk(arch: str) -> None:
    image = compile_c(arch, SOURCE)
    machine = Machine(image, None, Limits(10_000, 60))
    counted = []
    Machine(image, None, Limits(10_000, 60)).execute(counted.append)
    done = walk_in_python(machine, image.entry, 10_000)
    assert (done.outcome.end, done.outcome.status) == (End.EXIT, 0)
    assert done.instructions == len(counted)
    assert done.spent == machine.spent


def test_a_machine_says_what_its_run_took() -> None:
    machine = Machine(compile_c(ARCH_NAMES[0], SOURCE))
    assert machine.spent == Clock(0.0, 0.0)
    began = Clock.now()
    machine.execute(lambda _pc: None)
    passed = Clock.now().since(began)
    assert 0 < machine.spent.cpu_s <= passed.cpu_s
    assert 0 < machine.spent.wall_s <= passed.wall_s
