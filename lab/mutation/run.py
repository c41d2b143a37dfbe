"""Draws mutants, runs each, and says what became of it with each design; side by side on the machine's cores."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from lab.cost.counts import count as counted
from lab.engine.plan import Plan
from lab.errors import InputError
from lab.mutation.api import KINDS, Executed, Mutant, Mutated, kind_of, operators
from lab.mutation.classes import Class, Difference, classified, compare, same_path
from lab.mutation.ground import Ground
from lab.mutation.reach import Question, reached
from lab.mutation.stops import Run, listed
from lab.selftest.cases import Case
from lab.workers import spread


@dataclass(frozen=True)
class Task:
    """Up to *count* mutants of one kind of one image: plain data, for any process."""

    case: Case
    kind: str
    count: int
    seed: int
    unwinders: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{self.case.title} {self.kind}"


@dataclass(frozen=True)
class Fate:
    """What became of a mutant with one design; ``Difference`` says what the numbers are."""

    klass: Class
    wrong: dict[str, int] = field(default_factory=dict)
    needed: int = 0
    needless: int = 0
    first: tuple[str, int, int] | None = None


@dataclass(frozen=True)
class Row:
    """One mutant.  ``stillborn``: why it is no mutant ("" = it is one): the program did not survive it."""

    id: str
    kind: str
    operator: str
    arch: str
    workload: str
    function: str
    what: str
    stillborn: str
    fates: dict[str, Fate] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """A task's rows, none where the image has no mutant of the kind.  ``unsupported``: (design, why)."""

    task: Task
    rows: tuple[Row, ...]
    unsupported: tuple[tuple[str, str], ...]


def draw(ground: Ground, kind: str, count: int, seed: int) -> list[Mutant]:
    """Up to *count* mutants of *kind*, dealt to its operators in turn; the same for the same seed."""
    hands = []
    for name, operator in operators()[kind].items():
        chance = random.Random(f"{seed} {ground.case.title} {name}")
        hands.append([Mutant(ground.case, name, at) for at in operator.draw(ground, chance, count)])
    dealt = (mutant for mutant in chain.from_iterable(zip_longest(*hands)) if mutant is not None)
    return [mutant for mutant, _ in zip(dealt, range(count), strict=False)]


@dataclass(frozen=True)
class Trial:
    """A mutant, applied and run; ``problem`` says why it is stillborn, and there may be no run then."""

    mutant: Mutant
    mutated: Mutated
    run: Run | None
    problem: str = ""


def plan_of(ground: Ground, mutated: Mutated) -> Plan:
    """What a mutated run measures."""
    return Plan(ground.unwinders, ground.modes, ground.limits, 0, pokes=mutated.pokes, rows=mutated.rows)


def attempt(ground: Ground, mutant: Mutant) -> Trial:
    """Apply *mutant* and run it."""
    mutated = operators()[kind_of(mutant.operator)][mutant.operator].apply(ground, mutant.at)
    if mutated.image is not ground.image and (problem := _dies(ground, mutated)):
        return Trial(mutant, mutated, None, problem)
    found = listed(mutated.image, ground.rewrite, plan_of(ground, mutated), ground.engine)
    return Trial(mutant, mutated, found, _differs(ground.baseline, found, mutated))


def _dies(ground: Ground, mutated: Mutated) -> str:
    """Why the program does not survive, as a run without unwinders shows; "" where it may."""
    layout = ground.rewrite.layout if ground.rewrite else None
    try:
        found = counted(mutated.image, layout, ground.limits)
    except InputError as error:
        return str(error)
    base = ground.baseline
    return _apart((base.result, base.instructions), (found.outcome.result, found.instructions))


def _apart(base: tuple[str, int], found: tuple[str, int]) -> str:
    if base[0] != found[0]:
        return f"the program ended otherwise: {found[0]}"
    return "" if base[1] == found[1] else f"{found[1]} instructions, {base[1]} without the mutant"


def _differs(base: Run, found: Run, mutated: Mutated) -> str:
    """Why the mutated run did not make the same stops; "" where it did."""
    problem = _apart((base.result, base.instructions), (found.result, found.instructions))
    if problem or found.calls != base.calls:
        return problem or f"{found.calls} calls, {base.calls} without the mutant"
    replaced = mutated.reach.ranges if isinstance(mutated.reach, Executed) else ()
    return "" if same_path(base, found, replaced) else "another path through the code"


def perform(task: Task) -> Done:
    """Draw the task's mutants and run them."""
    ground = Ground(task.case, task.unwinders)
    return Done(task, tuple(rows(ground, draw(ground, task.kind, task.count, task.seed))), ground.unsupported)


def rows(ground: Ground, mutants: Sequence[Mutant]) -> list[Row]:
    """A row for each of *mutants*, in order."""
    tried = [_tried(ground, mutant) for mutant in mutants]
    open_questions = [
        Question(trial.mutant, name, trial.mutated.reach)
        for trial, by_name in tried
        for name, difference in by_name.items()
        if not difference.changed
    ]
    met = reached(ground, open_questions)
    return [_row(ground, trial, by_name, met) for trial, by_name in tried]


def _tried(ground: Ground, mutant: Mutant) -> tuple[Trial, dict[str, Difference]]:
    """The trial without its run, which is large, and how each design's verdicts differ; nothing for a stillborn one."""
    trial = attempt(ground, mutant)
    kept = Trial(mutant, trial.mutated, None, trial.problem)
    if trial.problem or trial.run is None:
        return kept, {}
    names = [unwinder.name for unwinder in ground.unwinders]
    return kept, {name: compare(ground.baseline, trial.run, index) for index, name in enumerate(names)}


def _row(ground: Ground, trial: Trial, by_name: dict[str, Difference], met: frozenset[tuple[str, str]]) -> Row:
    mutant, fates = trial.mutant, {}
    for name, found in by_name.items():
        klass = classified(found, reached=(mutant.id, name) in met)
        fates[name] = Fate(klass, found.wrong, found.needed, found.needless, found.first)
    case, mutated = ground.case, trial.mutated
    return Row(
        *(mutant.id, kind_of(mutant.operator), mutant.operator, case.arch, case.workload),
        *(mutated.function, mutated.what, trial.problem, fates),
    )


def tasks(cases: Sequence[Case], kinds: Sequence[str], unwinders: tuple[str, ...], count: int, seed: int) -> list[Task]:
    """One for each image and kind; InputError where no image is left."""
    chosen = [case for case in dict.fromkeys(cases) if case.exists]
    if not chosen:
        reasons = "; ".join(dict.fromkeys(f"{case.title}: {case.absent}" for case in cases))
        raise InputError(f"mutate: no image is left; take another workload, proposal or architecture ({reasons})")
    return [Task(case, kind, count, seed, unwinders) for case in chosen for kind in KINDS if kind in kinds]


def run(chosen: Sequence[Task], workers: int = 0) -> Iterator[Done]:
    """Each task as it is done, on *workers* processes (0: one a core)."""
    for _, done in spread(perform, chosen, lambda task: task.title, workers):
        yield done
