"""The hook's numbers as the rest of the lab's judgements and features."""

from __future__ import annotations

from collections.abc import Sequence

from lab.engine.native import cells
from lab.engine.native.core import features as packed
from lab.engine.native.state import State
from lab.features import DynamicFeatures
from lab.unwind.api import Reason, Unwinder
from lab.unwind.host import Crash, crash_text
from lab.verdict import Doubt, Judgement, Verdict

_VERDICTS = {
    cells.EXACT: Verdict.EXACT,
    cells.REFUSES: Verdict.REFUSED,
    cells.MISSING: Verdict.MISSING,
    cells.EXTRA: Verdict.EXTRA,
    cells.CRASH: Verdict.CRASH,
}
_DOUBTS = (Doubt.NONE, Doubt.NEEDLESS, Doubt.JUSTIFIED, Doubt.UNDETERMINED)
_CRASHES = {
    cells.CRASH_OUTSIDE: Crash.OUTSIDE,
    cells.CRASH_STEPS: Crash.STEPS,
    cells.CRASH_LOOPS: Crash.LOOPS,
}
_TRI: dict[int, bool | None] = {0: None, 1: False, 2: True}


def judgement_of(code: int, unwinder: Unwinder) -> Judgement:
    """The judgement that *code* stands for."""
    verdict = _VERDICTS[code & cells.VERDICT_MASK]
    detail = code >> cells.DETAIL
    reason = ""
    if verdict is Verdict.REFUSED:
        reason = Reason(detail).name.lower()
    elif verdict is Verdict.CRASH:
        reason = crash_text(unwinder, _CRASHES[detail])
    return Judgement(verdict, reason, _DOUBTS[code >> cells.DOUBT & 3], bool(code & cells.COVERS))


def vectors_of(state: State, unwinders: Sequence[Unwinder]) -> list[tuple[Judgement, ...]]:
    """The judgements each node of a run's tree of vectors stands for."""
    nodes = state.arrays["nodes"].reshape(-1, cells.NODE_WORDS)[: state[cells.S.NODE_COUNT]].tolist()
    vectors: list[tuple[Judgement, ...]] = [()]
    for code, _, _, parent in nodes[1:]:
        above = vectors[parent]
        vectors.append((*above, judgement_of(code, unwinders[len(above)])))
    return vectors


def short_text(judged: Judgement) -> str:
    """*judged* in a few words, for messages."""
    parts = (judged.verdict.value, judged.reason, judged.doubt.value, "covers" if judged.covers else "")
    return " ".join(part for part in parts if part)


def features_of(key: int) -> DynamicFeatures:
    """The features in the low half of an entry's key."""
    delta = (key >> packed.DELTA & 0xFF_FFFF) - packed.DELTA_BIAS if key >> packed.KNOWS_DELTA & 1 else None
    complete, pushed, matches = (_TRI[key >> at & 3] for at in (packed.COMPLETE, packed.PUSHED, packed.MATCHES))
    return DynamicFeatures(delta, complete, pushed, matches, bool(key >> packed.INTERRUPTS & cells.INTERRUPTED))
