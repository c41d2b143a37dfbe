"""Guests that smash records and shadow stacks in every way: the native engine says what the reference engine says.

``UNWINDLAB_SEEDS=1000`` in the environment tries that many random programs for each architecture.
"""

from __future__ import annotations

import os

import pytest

from lab.machine.machine import Machine
from lab.registry import all_unwinders, unwinder
from lab.unwind.api import Unwinder
from tests.engine.native.agreement import BOTH, assert_agree, case, in_turn
from tests.engine.shadow_smashing import CASES, ShadowCase, arm, shadow_program
from tests.engine.smashing import Program, catalogue, random_program
from tests.support import ARCH_NAMES

PROGRAMS = catalogue()
SEEDS = int(os.environ.get("UNWINDLAB_SEEDS", "12"))
#: Thousands of live calls cost the reference engine a millisecond a stop: less is asked there.
DEEP = ("beyond-budget", "budget")


def applicable(arch: str, turn: int, *, shadow: bool) -> tuple[Unwinder, ...]:
    """Every built-in unwinder that applies, in turn."""
    return in_turn([u for u in all_unwinders() if u.unsupported(arch, shadow) is None], turn)


@pytest.mark.parametrize("program", PROGRAMS, ids=[p.title for p in PROGRAMS])
def test_smashed_records(program: Program) -> None:
    deep = program.name in DEEP
    unwinders = (unwinder("fp"),) if deep else applicable(program.arch, PROGRAMS.index(program), shadow=False)
    assert_agree(case(program.make(), unwinders, ("boundary",) if deep else BOTH))


@pytest.mark.parametrize("this", CASES, ids=[this.title for this in CASES])
def test_smashed_shadow_stacks(this: ShadowCase) -> None:
    image, rewrite = shadow_program(this)

    def prepare(machine: Machine) -> None:
        arm(machine, rewrite)

    assert_agree(
        case(image, applicable(this.arch, CASES.index(this), shadow=True), rewrite=rewrite, stacks=0, prepare=prepare)
    )


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_random_programs(arch: str) -> None:
    """Stacks kept and not, both exception models: what is kept decides which walks may be skipped."""
    for seed in range(1000, 1000 + SEEDS):
        model = "signal" if seed % 3 == 0 else "kernel"
        unwinders = applicable(arch, seed, shadow=False)
        execution = assert_agree(case(random_program(arch, seed), unwinders, stacks=8 * (seed % 2), model=model))
        assert execution.calls
