"""Checks and transitions at random moments of a run, counted for each design.

A check is of one task at one moment: it cannot be made of the task that runs there, is refused, or is let through, and
then the trace may be wrong all the same.  A transition (live patching's: kernel/livepatch/transition.c, Linux v6.13)
tries every task that is not switched yet, and tries again after a while; a task is switched by its first check that is
let through.  The processor that checks is another one than the kernel runs on, and costs it nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lab import registry
from lab.engine.run import not_native
from lab.errors import InputError
from lab.job import Subject
from lab.sampling.timeline import Left, Timeline, timeline
from lab.selftest.cases import Case
from lab.unwind.api import Unwinder
from lab.verdict import Doubt, Judgement, Verdict
from lab.workers import spread


@dataclass(frozen=True)
class Model:
    """What is drawn.  ``tick``: mean instructions between timer interrupts; ``checks``: moments of each run at which
    all tasks are checked; ``period``: instructions between the tries of a transition; ``tries``: how many it makes."""

    runs: int
    tick: int
    checks: int
    period: int
    tries: int
    seed: int


@dataclass(frozen=True)
class Task:
    """One image, all its runs: plain data, for any process."""

    case: Case
    unwinders: tuple[str, ...]
    model: Model


@dataclass
class Drawn:
    """What one design said in one run.  Of the ``checks`` that could be made ``preempted`` were of a task preempted at
    the end of an interrupt, ``refused`` were refused, ``needless`` of these although the walk would have been exact,
    ``crashed`` ended in a crash of the walk, ``wrong`` were let through with a trace that misses a caller.
    ``running``: checks that could not be made.  ``retries``: tries of the transition after the first one, None where
    the last one did not complete it; ``unsafe``: it switched some task on a wrong trace."""

    checks: int = 0
    running: int = 0
    preempted: int = 0
    refused: int = 0
    needless: int = 0
    crashed: int = 0
    wrong: int = 0
    retries: int | None = None
    unsafe: bool = False


@dataclass(frozen=True)
class Done:
    """Per design, run by run; ``unsupported``: (design, why) of those that could not be asked."""

    task: Task
    drawn: dict[str, list[Drawn]]
    unsupported: tuple[tuple[str, str], ...] = ()
    instructions: list[int] = field(default_factory=list)
    """Of each run, from its first moment to its last."""


def passes(judged: Judgement) -> bool:
    """Whether the check lets the task through."""
    return judged.verdict not in (Verdict.REFUSED, Verdict.CRASH)


def is_wrong(judged: Judgement) -> bool:
    """Whether it lets through a trace that misses a caller.  (One that says too much delays, and harms nothing.)"""
    return judged.verdict is Verdict.MISSING


def checked(found: Drawn, state: dict[int, Left | None], judged: Callable[[Left], Judgement]) -> None:
    """Count the checks of every task as it is at one moment."""
    for left in state.values():
        if left is None:
            found.running += 1
            continue
        said = judged(left)
        found.checks += 1
        found.preempted += left.preempted
        found.refused += said.verdict is Verdict.REFUSED
        found.crashed += said.verdict is Verdict.CRASH
        found.needless += said.doubt is Doubt.NEEDLESS
        found.wrong += is_wrong(said)


def transition(found: Drawn, states: list[dict[int, Left | None]], judged: Callable[[Left], Judgement]) -> None:
    """Try at each of *states* in turn until every task is switched."""
    waiting = set(states[0])
    for number, state in enumerate(states):
        for task in sorted(waiting):
            left = state[task]
            if left is not None and passes(judged(left)):
                waiting.discard(task)
                found.unsafe |= is_wrong(judged(left))
        if not waiting:
            found.retries = number
            return


def drawn(line: Timeline, model: Model, designs: int, chance: random.Random) -> list[Drawn]:
    """What each of *designs* says of the same moments of *line*.  InputError where a transition has no room in it."""
    last = line.end - (model.tries - 1) * model.period
    if last <= line.begin:
        room = line.end - line.begin
        raise InputError(
            f"a run of {room} instructions has no room for {model.tries} tries {model.period} apart: lower "
            "--tries or --period, or take a longer workload"
        )
    moments = [chance.randrange(line.begin, line.end) for _ in range(model.checks)]
    start = chance.randrange(line.begin, last)
    at_moments = [line.at(moment) for moment in moments]
    at_tries = [line.at(start + number * model.period) for number in range(model.tries)]
    found = []
    for index in range(designs):
        one, judged = Drawn(), _of_design(index)
        for state in at_moments:
            checked(one, state, judged)
        transition(one, at_tries, judged)
        found.append(one)
    return found


def _of_design(index: int) -> Callable[[Left], Judgement]:
    return lambda left: left.judged[index]


def perform(task: Task) -> Done:
    """All runs of one image.  InputError, with its name, where they cannot be had."""
    model, subject = task.model, task.case.subject()
    chosen, unsupported = _usable(task, subject)
    by_name: dict[str, list[Drawn]] = {unwinder.name: [] for unwinder in chosen}
    lengths = []
    for number in range(model.runs if chosen else 0):
        chance = random.Random(f"{model.seed} {task.case.title} {number}")
        line = timeline(subject, chosen, model.tick, chance.randrange(1, 1 << 32))
        try:
            per_design = drawn(line, model, len(chosen), chance)
        except InputError as error:
            raise InputError(*(f"{task.case.title}: {text}" for text in error.lines)) from None
        lengths.append(line.end - line.begin)
        for unwinder, one in zip(chosen, per_design, strict=True):
            by_name[unwinder.name].append(one)
    return Done(task, by_name, tuple(unsupported), lengths)


def _usable(task: Task, subject: Subject) -> tuple[tuple[Unwinder, ...], list[tuple[str, str]]]:
    """The designs that can be asked, natively; and why not the others."""
    usable, left_out = [], []
    for unwinder in map(registry.unwinder, dict.fromkeys(task.unwinders)):
        reason = unwinder.unsupported(task.case.arch, subject.rewrite is not None)
        reason = reason or (f"no native form: {why}" if (why := not_native(unwinder)) else None)
        if reason is None:
            usable.append(unwinder)
        else:
            left_out.append((f"{task.case.title} {unwinder.name}", reason))
    return tuple(usable), left_out


def run(tasks: list[Task], workers: int = 0) -> Iterator[tuple[int, Done]]:
    """(index, done) of each task as it is done, on *workers* processes (0: one a core)."""
    yield from spread(perform, tasks, lambda task: task.case.title, workers)
