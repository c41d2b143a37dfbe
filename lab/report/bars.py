"""What the verdict figure shows, before anything is drawn: the same rows for the image and its ASCII twin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.report.sums import GroupSums, Sum
from lab.report.text import share

SHOWN = ("missing", "extra", "crash", "refused")
"""Verdicts with a bar, worst news first.  exact is what is left over."""
LETTER = {"missing": "M", "extra": "E", "crash": "C", "refused": "r"}
MOST_ROWS = 40


@dataclass(frozen=True)
class Bar:
    """One verdict of one row: (stops with it, stops) per mode."""

    verdict: str
    counts: tuple[tuple[int, int], ...]

    def share(self, mode: int) -> float:
        """The share of stops in one mode, 0..1 (0 where the mode did not run)."""
        part, whole = self.counts[mode]
        return part / whole if whole else 0.0

    def label(self, mode: int) -> str:
        """The share in percent as the tables print it, but with two digits where they print ``<0.01%``."""
        part, whole = self.counts[mode]
        text = share(part, whole)
        return f"{100 * part / whole:.2g}%" if text.startswith("<") else text


@dataclass(frozen=True)
class BarRow:
    """One proposal and unwinder.  ``exact`` holds (exact stops, stops) per mode."""

    proposal: str
    unwinder: str
    bars: tuple[Bar, ...]
    exact: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Panels:
    """One figure: an architecture (and compiler), its modes side by side, rows shared."""

    arch: str
    compiler: str
    modes: tuple[str, ...]
    rows: tuple[BarRow, ...]
    clean: tuple[str, ...]
    """Unwinders that are exact at every stop of every proposal: named, not drawn."""
    dropped: int
    """Rows beyond MOST_ROWS, those with the fewest missing stops."""

    def told(self, mode: int) -> list[BarRow]:
        """Rows that have a bar in one mode."""
        return [row for row in self.rows if any(bar.share(mode) for bar in row.bars)]

    @property
    def least_decade(self) -> int:
        """The power of ten just below the smallest share (-3 at most), where the log axis starts."""
        shares = [bar.share(i) for row in self.rows for bar in row.bars for i in range(len(self.modes))]
        shares = [value for value in shares if value > 0]
        return min(-3, math.ceil(math.log10(min(shares))) - 1) if shares else -3


def panels(groups: Sequence[GroupSums]) -> list[Panels]:
    """The figures of a run, in order: one per architecture and compiler."""
    return [
        _panels(arch, compiler, [g for g in groups if g.group[:2] == (arch, compiler) and g.sums])
        for arch, compiler in dict.fromkeys(g.group[:2] for g in groups if g.sums)
    ]


def _panels(arch: str, compiler: str, groups: Sequence[GroupSums]) -> Panels:
    pairs = list(dict.fromkeys(pair for group in groups for pair in group.sums))
    rows = [_row(pair, [group.sums.get(pair) for group in groups]) for pair in pairs]
    silent = {row.unwinder for row in rows} - {row.unwinder for row in rows if row.bars}
    drawn = [row for row in rows if row.unwinder not in silent]
    by_missing = sorted(drawn, key=_missing, reverse=True)[:MOST_ROWS]
    kept = [row for row in drawn if row in by_missing][:MOST_ROWS]
    return Panels(
        arch=arch,
        compiler=compiler,
        modes=tuple(group.group[2] for group in groups),
        rows=tuple(kept),
        clean=tuple(dict.fromkeys(row.unwinder for row in rows if row.unwinder in silent)),
        dropped=len(drawn) - len(kept),
    )


def _row(pair: tuple[str, str], sums: Sequence[Sum | None]) -> BarRow:
    def counts(verdict: str) -> tuple[tuple[int, int], ...]:
        return tuple((s.verdicts[verdict], s.stops) if s is not None else (0, 0) for s in sums)

    bars = [Bar(verdict, counts(verdict)) for verdict in SHOWN]
    return BarRow(*pair, tuple(bar for bar in bars if any(part for part, _ in bar.counts)), counts("exact"))


def _missing(row: BarRow) -> float:
    bars = [bar for bar in row.bars if bar.verdict == "missing"]
    return max((bar.share(mode) for bar in bars for mode in range(len(bar.counts))), default=0.0)
