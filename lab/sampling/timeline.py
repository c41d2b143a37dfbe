"""What each design says of each task from one switch to the next, over the time of one run.

A task that is switched out does not change until it runs again, so that the ``blocked`` stop made at the switch says
what a check at any moment until then would be told.  Time is the number of instructions retired.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from lab.engine.native.asides import Aside
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Injection, Plan
from lab.errors import EngineError, InputError
from lab.job import Subject
from lab.machine.machine import End, Limits
from lab.unwind.api import BLOCKED, Unwinder
from lab.verdict import Judgement

LIMITS = Limits(20_000_000, 300.0)


@dataclass(frozen=True)
class Left:
    """Task number *task* (of its stack) was switched out after *at* instructions, *preempted* or by its own will;
    ``judged``: by each design, in the order of the plan."""

    at: int
    task: int
    preempted: bool
    judged: tuple[Judgement, ...]


class Timeline:
    """One run.  A moment is an instruction number in [begin, end): by ``begin`` every task has been switched out, and
    at ``end`` one is switched out for the last time."""

    def __init__(self, lefts: tuple[Left, ...]) -> None:
        self.lefts = lefts
        self._ats = [left.at for left in lefts]
        self._of = {task: [left for left in lefts if left.task == task] for task in {left.task for left in lefts}}
        self._ats_of = {task: [left.at for left in own] for task, own in self._of.items()}
        self.tasks = tuple(sorted(self._of))
        self.begin = max((ats[0] for ats in self._ats_of.values()), default=0)
        self.end = self._ats[-1] if lefts else 0

    def at(self, moment: int) -> dict[int, Left | None]:
        """Of each task how it was left last; None of the one that runs at *moment*."""
        running = self.lefts[bisect.bisect_right(self._ats, moment)].task
        found: dict[int, Left | None] = {}
        for task, ats in self._ats_of.items():
            found[task] = None if task == running else self._of[task][bisect.bisect_right(ats, moment) - 1]
        return found


def timeline(subject: Subject, unwinders: tuple[Unwinder, ...], tick: int, seed: int) -> Timeline:
    """One run of *subject*, whose timer interrupts at random, every *tick* instructions in the mean (uniform from half
    of that to one and a half), *seed* choosing.  InputError where the program comes to no end."""
    plan = Plan(unwinders, ("blocked",), LIMITS, 0, injection=Injection(every=tick, seed=seed))
    engine = NativeEngine(subject.image, subject.rewrite, plan)
    lefts: list[Left] = []

    def left(stop: Aside, judged: tuple[Judgement, ...]) -> None:
        if stop.mode != BLOCKED:
            raise EngineError(f"{subject.image.path}: a stop of mode {stop.mode} in a run without such")
        lefts.append(Left(engine.instructions, engine.asides.stacks.on, bool(stop.dynamic.interrupted), judged))

    engine.asides.listeners.append(left)
    outcome = engine.run().outcome
    if outcome.end is not End.EXIT:
        mend = f"the timer may leave it no time: raise --tick (it is {tick}), or take another workload"
        raise InputError(f"{subject.image.path}: stopped after {outcome.detail}; {mend}")
    return Timeline(tuple(lefts))
