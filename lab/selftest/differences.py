"""Where two executions of one plan differ: one line for each unwinder and mode, naming the first pc."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from lab.engine.plan import Execution
from lab.engine.tally import KeptStack
from lab.features import DynamicFeatures
from lab.images.image import Image
from lab.unwind.api import MODES, Unwinder
from lab.verdict import Judgement

Said = Mapping[tuple[Judgement, DynamicFeatures], int]
"""Stops by how they were judged and what else was noted there."""
Named = tuple[str, Execution]


def differences(image: Image, unwinders: Sequence[Unwinder], ours: Named, theirs: Named) -> list[str]:
    """Every unwinder and mode in which the two differ, and what else differs; empty where nothing does."""
    (name, one), (other, two) = ours, theirs
    found = [
        f"{name} has {what} {a}, {other} {b}"
        for what, a, b in (
            ("outcome", one.outcome, two.outcome),
            ("instructions", one.instructions, two.instructions),
            ("calls", one.calls, two.calls),
        )
        if a != b
    ]
    mine, yours = _by_pc(one), _by_pc(two)
    for index, unwinder in enumerate(unwinders):
        for mode, number in MODES.items():
            cell = number, index
            pcs = [pc for pc in sorted({*mine[cell], *yours[cell]}) if mine[cell].get(pc) != yours[cell].get(pc)]
            if pcs:
                a, b = mine[cell].get(pcs[0], {}), yours[cell].get(pcs[0], {})
                more = f"; {len(pcs) - 1} more pcs" if len(pcs) > 1 else ""
                place = f"{pcs[0]:#x} ({image.locate(pcs[0])}) {unwinder.name} {mode}"
                found.append(f"{place}: {name} {_text(a, b)}, {other} {_text(b, a)}{more}")
            elif _kept(one, cell) != _kept(two, cell):
                found.append(
                    _other_stack(image, f"{unwinder.name} {mode}", (name, _kept(one, cell)), (other, _kept(two, cell)))
                )
    return found


def _by_pc(execution: Execution) -> dict[tuple[int, int], dict[int, Said]]:
    """(mode, unwinder) -> pc -> what was said there."""
    found: dict[tuple[int, int], dict[int, dict[tuple[Judgement, DynamicFeatures], int]]]
    found = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for tally in execution.tallies:
        found[tally.mode, tally.unwinder][tally.pc][tally.judgement, tally.dynamic] += tally.stops
    return found  # type: ignore[return-value]


def _kept(execution: Execution, cell: tuple[int, int]) -> list[KeptStack]:
    return [kept for kept in execution.stacks if (kept.mode, kept.unwinder) == cell]


def _text(said: Said, other: Said) -> str:
    """What only this side said: judgements with their stops, and the features where the judgements agree."""
    own = {key: stops for key, stops in said.items() if other.get(key) != stops}
    if not own:
        return "no such stops" if not said else "nothing else"
    with_features = {j for j, _ in own} == {j for j, _ in other if other.get((j, _)) != said.get((j, _))}
    parts = []
    for (judged, dynamic), stops in list(own.items())[:3]:
        words = [judged.verdict.value, judged.reason, judged.doubt.value, "covers" if judged.covers else ""]
        features = f" with {dynamic}" if with_features else ""
        parts.append(f"{' '.join(word for word in words if word)}{features} x{stops}")
    return " + ".join(parts) + (" + ..." if len(own) > 3 else "")


def _other_stack(
    image: Image, cell: str, ours: tuple[str, list[KeptStack]], theirs: tuple[str, list[KeptStack]]
) -> str:
    """The counts agree and the kept stacks do not."""
    (name, mine), (other, yours) = ours, theirs
    for one, two in zip(mine, yours, strict=False):
        if one != two:
            place = f"{one.pc:#x} ({image.locate(one.pc)}) {cell}"
            return f"{place}: kept stack {one.stop}: {name} {_stack(one)}, {other} {_stack(two)}"
    return f"{cell}: {name} kept {len(mine)} stacks, {other} {len(yours)}"


def _stack(kept: KeptStack) -> str:
    reported = " <- ".join(f"{address:#x}" for address in kept.reported[:6]) or "nothing"
    return f"{kept.judgement.verdict.value} at stop {kept.stop} with {reported}"
