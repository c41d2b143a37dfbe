"""Counting: per (mode, pc, dynamic features, what each unwinder said), and the first stacks that differ."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.features import DynamicFeatures
from lab.unwind.api import Regs
from lab.verdict import Judgement, Verdict

WORDS = 32
"""Stack words kept with a stack that differs."""


@dataclass(frozen=True, slots=True)
class Tally:
    """*stops* stops at *pc* in *mode* at which unwinder number *unwinder* was judged alike."""

    mode: int
    unwinder: int
    pc: int
    dynamic: DynamicFeatures
    judgement: Judgement
    stops: int


@dataclass(frozen=True, slots=True)
class KeptStack:
    """One stop at which the report was not exact.  ``stop`` counts from 0 within its mode."""

    mode: int
    unwinder: int
    stop: int
    pc: int
    judgement: Judgement
    truth: tuple[int, ...]
    reported: tuple[int, ...]
    registers: dict[str, int]
    words: tuple[int, ...] = ()
    """The words of memory from the unwind's stack pointer upwards."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one unwinder said at one stop, beside the truth.  ``place``: the pc the stop is counted at."""

    regs: Regs
    judgement: Judgement
    truth: tuple[int, ...]
    reported: tuple[int, ...]
    place: int


class Keeper:
    """Keeps the first *limit* differing stacks per (mode, unwinder), each at another (pc, verdict)."""

    def __init__(
        self, limit: int, registers: Callable[[], dict[str, int]], load: Callable[[int], int | None] | None = None
    ) -> None:
        self._limit, self._registers, self._load = limit, registers, load
        self._kept: list[KeptStack] = []
        self._seen: dict[tuple[int, int], set[tuple[int, Verdict]]] = {}

    def full(self, mode: int, unwinder: int) -> bool:
        """Whether there is no room for another."""
        return len(self._seen.get((mode, unwinder), ())) >= self._limit

    def keep(self, mode: int, unwinder: int, stop: int, said: Said) -> None:
        """Keep this stop's stacks if they differ and there is room; *stop* counts from 0 within its mode."""
        regs, judgement = said.regs, said.judgement
        if judgement.verdict is Verdict.EXACT:
            return
        seen = self._seen.setdefault((mode, unwinder), set())
        key = (said.place, judgement.verdict)
        if len(seen) >= self._limit or key in seen:
            return
        seen.add(key)
        registers = self._registers() | {"pc": regs.pc, "unwound_sp": regs.sp}
        words = self._words(regs.sp)
        self._kept.append(
            KeptStack(mode, unwinder, stop, said.place, judgement, said.truth, said.reported, registers, words)
        )

    def _words(self, sp: int) -> tuple[int, ...]:
        """At most WORDS words from *sp* upwards, up to the first that cannot be read."""
        load = self._load
        found = (load(sp + 8 * i) for i in range(WORDS)) if load is not None else iter(())
        return tuple(itertools.takewhile(lambda word: word is not None, found))  # type: ignore[arg-type]

    def stacks(self) -> tuple[KeptStack, ...]:
        """The kept stacks in the order in which they occurred, by mode and unwinder."""
        return tuple(sorted(self._kept, key=lambda kept: (kept.mode, kept.unwinder, kept.stop)))


class Recorder:
    """Keeps counts, and stacks that differ."""

    def __init__(
        self, limit: int, registers: Callable[[], dict[str, int]], load: Callable[[int], int | None] | None = None
    ) -> None:
        self._keeper = Keeper(limit, registers, load)
        self._counts: Counter[tuple[int, int, DynamicFeatures, tuple[Judgement, ...]]] = Counter()
        self._stops: Counter[int] = Counter()

    def count(self, mode: int, pc: int, dynamic: DynamicFeatures, judgements: tuple[Judgement, ...]) -> None:
        """One stop."""
        self._counts[mode, pc, dynamic, judgements] += 1
        self._stops[mode] += 1

    def keep(self, mode: int, unwinder: int, said: Said) -> None:
        """The stop that is counted next differs."""
        self._keeper.keep(mode, unwinder, self._stops[mode], said)

    def total(self, mode: int, unwinder: int) -> int:
        """Stops counted for one unwinder in one mode."""
        return sum(stops for (m, _, _, judged), stops in self._counts.items() if m == mode and len(judged) > unwinder)

    def tallies(self) -> tuple[Tally, ...]:
        """Every count, split by unwinder, in a fixed order."""
        return split(self._counts)

    def stacks(self) -> tuple[KeptStack, ...]:
        """The kept stacks."""
        return self._keeper.stacks()


def split(counts: Mapping[tuple[int, int, DynamicFeatures, tuple[Judgement, ...]], int]) -> tuple[Tally, ...]:
    """Counts of (mode, pc, features, all judgements), split by unwinder, in a fixed order."""
    found: Counter[tuple[int, int, int, DynamicFeatures, Judgement]] = Counter()
    for (mode, pc, dynamic, judgements), stops in counts.items():
        for index, judgement in enumerate(judgements):
            found[mode, index, pc, dynamic, judgement] += stops
    return tuple(sorted((Tally(*key, stops) for key, stops in found.items()), key=_order))


def _order(tally: Tally) -> tuple[int, int, int, str, str]:
    return tally.mode, tally.unwinder, tally.pc, repr(tally.dynamic), repr(tally.judgement)
