"""The guests for comparing engines, in the reference engine: they end well, and their smashes can be seen."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from lab.engine.reference import Execution, Plan, ReferenceEngine
from lab.images.image import Image
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY
from tests.engine.smashing import Program, catalogue, marks, random_program
from tests.support import ARCH_NAMES

PROGRAMS = catalogue()
UNWINDERS = tuple(unwinder(name) for name in ("fp", "oracle"))


#: Thousands of live calls cost the reference engine a millisecond a stop: less is asked there.
DEEP = "beyond-budget"


def run(image: Image, *, less: bool = False) -> tuple[Execution, int]:
    """The execution, and how many activations the truth still had at its end; *less*: boundary stops, fp alone."""
    unwinders, modes = (UNWINDERS[:1], ("boundary",)) if less else (UNWINDERS, ("boundary", "call"))
    engine = ReferenceEngine(image, None, Plan(unwinders, modes, Limits(100_000, 60), stacks=0))
    return engine.run(), engine.truth.depth


def ends_well(execution: Execution, *, oracle: bool = True) -> None:
    assert execution.outcome.status == 0, execution.outcome
    said = {t.judgement.verdict.value for t in execution.tallies if t.unwinder == 1}
    assert said == ({"exact"} if oracle else set())


def seen(execution: Execution) -> dict[int, set[str]]:
    """pc -> what the plain frame-pointer walk was found to be there."""
    found: dict[int, set[str]] = defaultdict(set)
    for tally in execution.tallies:
        if (tally.mode, tally.unwinder) == (BOUNDARY, 0):
            found[tally.pc].add(tally.judgement.verdict.value)
    return found


@pytest.mark.parametrize("program", PROGRAMS, ids=[p.title for p in PROGRAMS])
def test_each_smash_shows_and_each_restore_mends(program: Program) -> None:
    image = program.make()
    execution, depth = run(image, less=program.name == DEEP)
    ends_well(execution, oracle=program.name != DEEP)
    assert bool(depth) == (program.name == "noreturn")
    verdicts, places = seen(execution), marks(image)
    assert any(places.values())
    for kind in ("heal", "same"):
        wrong = [image.locate(pc) for pc in places[kind] if verdicts[pc] != {"exact"}]
        assert not wrong, kind
    assert not [image.locate(pc) for pc in places["hit"] if not verdicts[pc] or "exact" in verdicts[pc]]
    assert not [image.locate(pc) for pc in places["both"] if len(verdicts[pc]) < 2 or "exact" not in verdicts[pc]]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_catalogue_smashes_a_lot(arch: str) -> None:
    """Every kind of place is there, store forms by the hundred, and names are unique."""
    counts: Counter[str] = Counter()
    for program in PROGRAMS:
        if program.arch == arch:
            counts.update({kind: len(places) for kind, places in marks(program.make()).items()})
    assert counts["hit"] > 800
    assert counts["heal"] > 800
    assert counts["same"] > 80
    assert counts["both"] > 0
    names = [p.title for p in PROGRAMS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_walk_beyond_the_step_budget_is_a_crash_and_one_step_less_is_not(arch: str) -> None:
    program = next(p for p in PROGRAMS if (p.arch, p.name) == (arch, "budget"))
    verdicts = seen(run(program.make(), less=True)[0])
    assert [verdicts[pc] for pc in marks(program.make())["hit"]] == [{"crash"}, {"crash"}, {"crash"}, {"extra"}]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_changing_code_changes_what_is_called(arch: str) -> None:
    """Five times a call, five times a store or nothing: the call is seen only while it is there."""
    program = next(p for p in PROGRAMS if (p.arch, p.name) == (arch, "self-modifying"))
    image = program.make()
    execution, _ = run(image)
    inner = image.symbols["inner"]
    assert sum(t.stops for t in execution.tallies if (t.pc, t.mode, t.unwinder) == (inner, BOUNDARY, 0)) == 5


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_random_programs_end_with_every_call_returned_from(arch: str) -> None:
    total: Counter[str] = Counter()
    for seed in range(50):
        execution, depth = run(random_program(arch, seed))
        ends_well(execution)
        assert depth == 0
        assert execution.instructions <= 3_000
        for tally in execution.tallies:
            if tally.unwinder == 0:
                total[tally.judgement.verdict.value] += tally.stops
    assert total["exact"] > 2_000
    assert total["missing"] > 2_000


def test_a_seed_names_one_program() -> None:
    texts = {random_program("aarch64", seed).sha256 for seed in range(10)}
    assert len(texts) == 10
    assert random_program("aarch64", 3).sha256 in texts
