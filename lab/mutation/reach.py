"""Which designs looked at what a mutant changes.

Until a walk first meets the mutated row or word it is the unmutated walk, so it is enough to watch the unmutated run:
one of the reference engine, in which each walk's look-ups and loads are noted.  Exact, and slow: designs for which a
difference of verdicts already proves it need not be watched.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from lab.engine.reference import ReferenceEngine
from lab.engine.switches import Seen
from lab.features import DynamicFeatures
from lab.mutation.api import Executed, Loaded, LookedUp, Mutant, Reach
from lab.mutation.ground import Ground
from lab.unwind.api import BOUNDARY, Regs
from lab.unwind.host import walk
from lab.unwind.reader import View
from lab.unwind.watchdog import Watchdog


@dataclass(frozen=True)
class Question:
    """Has *unwinder* (its name) looked at what *mutant* changes?"""

    mutant: Mutant
    unwinder: str
    reach: Reach


def executed(ground: Ground, reach: Executed) -> bool:
    """Whether an instruction of *reach* was executed."""
    pcs = sorted(ground.executed)
    return any(bisect.bisect_left(pcs, high) > bisect.bisect_left(pcs, low) for low, high in reach.ranges)


def reached(ground: Ground, questions: Iterable[Question]) -> frozenset[tuple[str, str]]:
    """The (mutant's id, unwinder) of *questions* whose answer is yes."""
    asked = list(questions)
    plain = [q for q in asked if isinstance(q.reach, Executed) and executed(ground, q.reach)]
    tables = {unwinder.name: unwinder.tables for unwinder in ground.unwinders}
    watched = [
        q
        for q in asked
        if isinstance(q.reach, Loaded)
        or (isinstance(q.reach, LookedUp) and any(kind in tables[q.unwinder] for kind, _ in q.reach.tables))
    ]
    found = _Watcher(ground, watched).watch() if watched else frozenset()
    return found | {(q.mutant.id, q.unwinder) for q in plain}


class _Watcher(ReferenceEngine):
    """The unmutated run, every walk watched."""

    def __init__(self, ground: Ground, questions: list[Question]) -> None:
        names = {question.unwinder for question in questions}
        chosen = tuple(u for u in ground.unwinders if u.name in names and not u.oracle)
        super().__init__(ground.image, ground.rewrite, replace(ground.plan, unwinders=chosen))
        self._open: dict[str, list[Question]] = defaultdict(list)
        for question in questions:
            self._open[question.unwinder].append(question)
        self.found: set[tuple[str, str]] = set()
        self._asked: set[tuple[int, int]] = set()
        plain = self.reader.rule

        def rule(table: int, pc: int) -> int:
            self._asked.add((table, pc))
            return plain(table, pc)

        self.reader.rule = rule
        self.reader.view = View(self.reader)

    def watch(self) -> frozenset[tuple[str, str]]:
        """Run; the (mutant's id, unwinder) that were reached."""
        with Watchdog(self.reader):
            self.machine.execute(self._instruction)
        return frozenset(self.found)

    def _dynamic(self, regs: Regs, *, after_call: bool = False) -> DynamicFeatures:
        return _NONE  # nothing is counted here

    def _stop(self, mode: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures, place: int | None = None) -> None:
        now = self._instructions - (mode == BOUNDARY)
        for unwinder in self.plan.unwinders:
            waiting = self._open[unwinder.name]
            if not any(_may(question.reach, now) for question in waiting):
                continue
            self.reader.log = []
            self._asked.clear()
            walk(unwinder, mode, regs.pc, regs, self.reader)
            loads, self.reader.log = {address for address, _ in self.reader.log}, None
            answered = [question for question in waiting if self._met(question.reach, now, loads)]
            if answered:
                self.found |= {(question.mutant.id, question.unwinder) for question in answered}
                self._open[unwinder.name] = [question for question in waiting if question not in answered]

    def _met(self, reach: Reach, now: int, loads: set[int]) -> bool:
        if isinstance(reach, Loaded):
            return reach.first <= now < reach.end and any(
                address in loads for address in range(reach.address - 7, reach.address + 8)
            )
        if isinstance(reach, LookedUp):
            ranges = dict(reach.tables)
            return any(low <= pc < high for table, pc in self._asked for low, high in ranges.get(table, ()))
        return False


def _may(reach: Reach, now: int) -> bool:
    """Whether a stop at instruction *now* can answer."""
    return not isinstance(reach, Loaded) or reach.first <= now < reach.end


_NONE = DynamicFeatures(None, None, None, None, False)
