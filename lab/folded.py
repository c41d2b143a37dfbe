"""Folded stacks, true or as an unwinder reports them, with the number of stops: what flame graph tools read.

A run keeps counts and some stacks, not the trace of every stop.  So the image is built again and executed by the
reference engine, and what comes out is held against the stored cell: the same number of stops of every verdict, or it
is an error.  The trace is folded to functions: ``outermost;...;innermost COUNT`` (the format of stackcollapse-perf.pl
and inferno), callers by the call's address, ra - 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab import registry
from lab.again import subject_again
from lab.engine.plan import Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.tally import Recorder, Said
from lab.errors import EngineError
from lab.features import DynamicFeatures
from lab.images.image import Image
from lab.job import check_outcome
from lab.store import Cell, Run
from lab.unwind.api import END, MODES, Cursor, Mem, Regs, StepResult, Unwinder
from lab.verdict import Judgement, Verdict

TRUE = "true"
"""``of``: the true stacks."""
MOST_STACKS = 100_000
"""Distinct stacks of one cell; those that come later are counted together as OTHERS."""
OTHERS = "[other_stacks]"


@dataclass(frozen=True)
class Folded:
    """The stacks of one cell: text -> stops.  ``others``: stops beyond MOST_STACKS distinct stacks, not in it."""

    cell: Cell
    stacks: dict[str, int]
    others: int

    def lines(self, root: str = "") -> Iterator[str]:
        """Sorted lines; *root* is put below every stack."""
        below = f"{_frame(root)};" if root else ""
        yield from (f"{below}{stack} {stops}" for stack, stops in sorted(self.stacks.items()))
        if self.others:
            yield f"{below}{OTHERS} {self.others}"


def fold(run: Run, cell: Cell, of: str) -> Folded:
    """The stacks of *cell* of *run*: the true ones, or those its unwinder reports (*of* is its name, or TRUE).

    InputError where the image is not what the run was made with; EngineError where the counts are not the stored ones.
    """
    job, subject = subject_again(run, cell.key[:4])
    asked = () if of == TRUE else (_design(run, of),)
    plan = Plan((_NOTHING, *asked), job.modes, job.limits, 1, seed=job.seed)
    engine = ReferenceEngine(subject.image, subject.rewrite, plan)
    engine.recorder = recorder = _Folding(subject.image, MODES[cell.mode], bool(asked))
    check_outcome(subject, job, engine.run().outcome)
    _compare(run, cell, recorder.verdicts if asked else Counter({"": recorder.stops}))
    return Folded(cell, dict(recorder.folded), recorder.others)


def _design(run: Run, name: str) -> Unwinder:
    """The run's unwinder that its cells call *name*: one from a file was asked for by that file."""
    for asked in run.result.experiment.unwinders:
        if ".py" in asked and (design := registry.unwinder(asked)).name == name:
            return design
    return registry.unwinder(name)


def _compare(run: Run, cell: Cell, found: Counter[str]) -> None:
    stored = {"": cell.stops} if "" in found else {v: n for v, n in cell.verdicts.items() if n}
    if dict(found) != stored:
        where = "/".join(cell.key)
        raise EngineError(
            f"run {run.run_id}: {where}: stops are {dict(found)} now, {stored} stored; "
            f"unwindlab rerun {run.run_id} says what has changed (if nothing: a fault of the lab)"
        )


def _start(mode: int, pc: int, regs: Regs) -> Cursor:
    return (0,)


def _step(mem: Mem, cursor: Cursor) -> StepResult:
    return END, 0, cursor


_NOTHING = Unwinder("nothing", "reports no caller, so that every true stack differs", "this file", _start, _step)


class _Folding(Recorder):
    """A recorder that folds the stacks of one mode: what differs is told it before the stop is counted."""

    def __init__(self, image: Image, mode: int, reported: bool) -> None:
        super().__init__(0, dict)
        self._mode, self._reported = mode, reported
        self._name = _names(image)
        self._below: dict[tuple[int, ...], str] = {}
        self._said: dict[int, Said] = {}
        self.folded: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.stops = self.others = 0

    def keep(self, mode: int, unwinder: int, said: Said) -> None:
        self._said[unwinder] = said

    def count(self, mode: int, pc: int, dynamic: DynamicFeatures, judgements: tuple[Judgement, ...]) -> None:
        super().count(mode, pc, dynamic, judgements)
        said, self._said = self._said, {}
        if mode != self._mode:
            return
        self.stops += 1
        differs = said.get(0)
        truth, at = (differs.truth, differs.regs.pc) if differs else ((), pc)
        if not self._reported:
            self._add(self._stack(at, truth))
            return
        judged = judgements[1]
        self.verdicts[judged.verdict.value] += 1
        if judged.verdict in {Verdict.REFUSED, Verdict.CRASH}:
            said_so = [judged.verdict.value, *([judged.reason] if judged.reason else [])]
            self._add(";".join([*(f"[{_frame(what)}]" for what in said_so), self._name(at)]))
        else:
            self._add(self._stack(at, said[1].reported if 1 in said else truth))

    def _add(self, stack: str) -> None:
        if stack in self.folded or len(self.folded) < MOST_STACKS:
            self.folded[stack] += 1
        else:
            self.others += 1

    def _stack(self, pc: int, trace: tuple[int, ...]) -> str:
        below = self._below.get(trace)
        if below is None:
            if len(self._below) > MOST_STACKS:
                self._below.clear()
            below = self._below[trace] = "".join(f"{self._name(ra - 1)};" for ra in reversed(trace))
        return below + self._name(pc)


def _names(image: Image) -> Callable[[int], str]:
    """Frames by address; an address outside every function is itself, in brackets."""
    known: dict[int, str] = {}

    def name(address: int) -> str:
        if address not in known:
            function = image.function_at(address)
            known[address] = _function(function.name) if function else f"[{max(address, 0):#x}]"
        return known[address]

    return name


def _function(name: str) -> str:
    """A function's frame; none looks like one of those in brackets, which are the lab's own."""
    kept = _frame(name)
    return f"_{kept}" if kept.startswith("[") else kept


def _frame(name: str) -> str:
    """*name* without what separates frames and counts; names come from untrusted files."""
    kept = "".join(c if c.isprintable() and c not in "; " else "_" for c in name)
    return kept or "_"


__all__ = ["MOST_STACKS", "OTHERS", "TRUE", "Folded", "fold"]
