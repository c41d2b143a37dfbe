"""What became of a mutant with one design: its run compared with the unmutated one, stop by stop.

The mutated run makes the same stops in the same order (that is checked), so each has its counterpart.
docs/mutation.md has the definitions.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lab.mutation.stops import EXACT, MISSING, NEEDLESS, REFUSED, SAID, Run

WRONG = SAID[MISSING:]
"""The worst first."""


class Class(enum.Enum):
    """Closed: what became of one mutant with one design."""

    DETECTED = "detected"
    HARMLESS = "harmless"
    SILENT = "silent"
    NOT_REACHED = "not_reached"


@dataclass(frozen=True)
class Difference:
    """How the verdicts of one design differ from those without the mutant.

    ``wrong``: new wrong stops by verdict.  ``needed``: stops that were exact and are refused, where the walk with the
    refusal ignored is not exact or cannot go on; ``needless``: where it is exact.  ``first``: (mode, number of the stop
    in its mode, pc) of the first new wrong stop, boundaries before calls."""

    wrong: dict[str, int]
    needed: int
    needless: int
    changed: bool
    first: tuple[str, int, int] | None


def compare(before: Run, after: Run, index: int) -> Difference:
    """The difference for design number *index* between a run without and one with a mutant."""
    wrong = dict.fromkeys(WRONG, 0)
    needed = needless = 0
    changed, first = False, None
    for mode, stops in after.stops.items():
        old, new = before.stops[mode].said[:, index], stops.said[:, index]
        fresh = (new >= MISSING) & (old < MISSING)
        for code, name in enumerate(WRONG, MISSING):
            wrong[name] += int(np.count_nonzero(fresh & (new == code)))
        needed += int(np.count_nonzero((old == EXACT) & (new == REFUSED)))
        needless += int(np.count_nonzero((old == EXACT) & (new == NEEDLESS)))
        changed |= bool(np.any(old != new))
        if first is None and fresh.any():
            number = int(np.argmax(fresh))
            first = mode, number, int(stops.pcs[number])
    return Difference({name: stops for name, stops in wrong.items() if stops}, needed, needless, changed, first)


def same_path(before: Run, after: Run, replaced: Sequence[tuple[int, int]]) -> bool:
    """Whether the runs made the same stops at the same places; the pcs in a range of *replaced* code count as one."""

    def places(run: Run, mode: str) -> npt.NDArray[np.uint64]:
        pcs = run.stops[mode].pcs.copy()
        for low, high in replaced:
            pcs[(pcs >= low) & (pcs < high)] = low
        return pcs

    return all(np.array_equal(places(before, mode), places(after, mode)) for mode in before.stops)


def classified(difference: Difference, *, reached: bool) -> Class:
    """The class of a mutant for one design; a difference of verdicts proves that it was reached."""
    if difference.wrong:
        return Class.SILENT
    if difference.needed:
        return Class.DETECTED
    return Class.HARMLESS if reached or difference.changed else Class.NOT_REACHED
