"""Every stop of a run in order, with what each design said there: two runs can be compared stop by stop.

The engines count; here their stops are listed as well, and the lists must add up to the counts.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lab.engine.native.cells import S
from lab.engine.native.codes import vectors_of
from lab.engine.native.engine import NativeEngine
from lab.engine.native.events import NotNative
from lab.engine.native.tables import TooWideError
from lab.engine.plan import Execution, Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.run import NATIVE, not_native
from lab.engine.tally import Recorder
from lab.errors import EngineError
from lab.features import DynamicFeatures
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.unwind.api import BOUNDARY, CALL, MODES
from lab.verdict import Doubt, Judgement, Verdict

SAID = ("exact", "refused", "needless", "missing", "extra", "crash")
"""What is noted of a judgement, by number.  ``needless``: refused, and the walk with that ignored is exact."""
EXACT, REFUSED, NEEDLESS, MISSING = range(4)
"""From MISSING on it is wrong."""
_VERDICTS = {Verdict.EXACT: 0, Verdict.REFUSED: 1, Verdict.MISSING: 3, Verdict.EXTRA: 4, Verdict.CRASH: 5}

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Stops:
    """All stops of one mode: ``pcs`` (stops,), ``said`` (stops, designs) numbers of SAID."""

    pcs: npt.NDArray[np.uint64]
    said: Codes


@dataclass(frozen=True)
class Run:
    """How the program ended, what it retired, and its stops by mode."""

    result: str
    instructions: int
    calls: int
    stops: dict[str, Stops]


def code_of(judged: Judgement) -> int:
    """The number in SAID of a judgement."""
    if judged.verdict is Verdict.REFUSED and judged.doubt is Doubt.NEEDLESS:
        return NEEDLESS
    return _VERDICTS[judged.verdict]


def listed(image: Image, rewrite: RewriteMap | None, plan: Plan, engine: str = NATIVE) -> Run:
    """Execute *image*; designs without a native form, and all where *engine* is the reference one, are judged by the
    reference engine.  EngineError where lists and counts do not agree."""
    slow = {i for i, unwinder in enumerate(plan.unwinders) if engine != NATIVE or not_native(unwinder)}
    while True:
        fast = [i for i in range(len(plan.unwinders)) if i not in slow]
        try:
            parts = [(fast, NativeList(image, rewrite, _only(plan, fast)))] if fast or not slow else []
            runs = [(indexes, one.listed()) for indexes, one in parts]
            break
        except NotNative as error:
            slow.add(fast[error.index])
        except TooWideError:
            slow |= set(fast)
    if slow:
        order = sorted(slow)
        runs.append((order, ReferenceList(image, rewrite, _only(plan, order)).listed()))
    return _joined(plan, runs)


def _only(plan: Plan, indexes: Sequence[int]) -> Plan:
    return replace(plan, unwinders=tuple(plan.unwinders[index] for index in indexes))


def _joined(plan: Plan, runs: Sequence[tuple[list[int], Run]]) -> Run:
    first = runs[0][1]
    joined = {}
    for mode in plan.modes:
        pcs = first.stops[mode].pcs
        said = np.zeros((len(pcs), len(plan.unwinders)), np.uint8)
        for indexes, run in runs:
            if (run.result, run.instructions) != (first.result, first.instructions):
                raise EngineError("two executions of one image differ; this is a fault of the lab")
            said[:, indexes] = run.stops[mode].said
        joined[mode] = Stops(pcs, said)
    return replace(first, stops=joined)


def _checked(image: Image, plan: Plan, execution: Execution, stops: dict[str, Stops]) -> Run:
    """The run, where its lists agree with the counts."""
    counted: Counter[tuple[int, int, int]] = Counter()
    for tally in execution.tallies:
        counted[tally.mode, tally.unwinder, code_of(tally.judgement)] += tally.stops
    for mode, found in stops.items():
        for index, unwinder in enumerate(plan.unwinders):
            sums = np.bincount(found.said[:, index], minlength=len(SAID)).tolist()
            if sums != [counted[MODES[mode], index, code] for code in range(len(SAID))]:
                raise EngineError(f"{image.path}: {unwinder.name} {mode}: stops listed are not those counted")
    return Run(execution.outcome.result, execution.instructions, execution.calls, stops)


class NativeList(NativeEngine):
    """The native engine, looked at after every instruction."""

    def __init__(self, image: Image, rewrite: RewriteMap | None, plan: Plan) -> None:
        super().__init__(image, rewrite, plan)
        self._lists = {mode: (array("Q"), array("Q")) for mode in MODES.values()}
        self._at = 0

    def _tick(self, pc: int, _b: int) -> int:
        self._note()
        most = super()._tick(pc, _b)
        if pc == 0:  # within a rep-prefixed instruction
            return most
        self._at = pc
        return min(most, 1)

    def _note(self) -> None:
        """What was said at the stops since the last look: those of the instruction noted then."""
        state = self.state
        pcs, vectors = self._lists[BOUNDARY]
        if len(pcs) == self.instructions:
            return
        after, said = self._lists[CALL]
        if state[S.CALLS] > len(after):
            after.append(self.machine.insn_at(pcs[-1]).end)
            said.append(state[S.VECTOR_CALL])
        pcs.append(self._at)
        vectors.append(state[S.VECTOR])

    def listed(self) -> Run:
        """Run, and list."""
        execution = self.run()
        self._note()
        vectors = vectors_of(self.state, self.plan.unwinders)
        width = len(self.plan.unwinders)
        codes = np.zeros((len(vectors), width), np.uint8)
        for number, judged in enumerate(vectors):
            if len(judged) == width:
                codes[number] = [code_of(each) for each in judged]
        stops = {}
        for mode in self.plan.modes:
            pcs, numbers = self._lists[MODES[mode]]
            said = codes[np.array(numbers, np.int64)]
            stops[mode] = Stops(np.array(pcs, np.uint64), said)
        return _checked(self.image, self.plan, execution, stops)


class _Listing(Recorder):
    """A recorder that keeps every stop in order too."""

    def __init__(self, plain: ReferenceEngine) -> None:
        super().__init__(plain.plan.stacks, plain.machine.registers)
        self.lists: dict[int, list[tuple[int, list[int]]]] = {mode: [] for mode in MODES.values()}

    def count(self, mode: int, pc: int, dynamic: DynamicFeatures, judgements: tuple[Judgement, ...]) -> None:
        super().count(mode, pc, dynamic, judgements)
        self.lists[mode].append((pc, [code_of(judged) for judged in judgements]))


class ReferenceList(ReferenceEngine):
    """The reference engine, its stops listed."""

    def __init__(self, image: Image, rewrite: RewriteMap | None, plan: Plan) -> None:
        super().__init__(image, rewrite, plan)
        self.recorder = self._listing = _Listing(self)

    def listed(self) -> Run:
        """Run, and list."""
        execution = self.run()
        stops = {}
        for mode in self.plan.modes:
            made = self._listing.lists[MODES[mode]]
            said = np.array([codes for _, codes in made], np.uint8).reshape(len(made), len(self.plan.unwinders))
            stops[mode] = Stops(np.array([pc for pc, _ in made], np.uint64), said)
        return _checked(self.image, self.plan, execution, stops)
