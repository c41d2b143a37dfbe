"""The distribution of what a function entry costs, before anything is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lab.report.text import Line, arch_title, mailable, share, signed, table, wrap
from lab.store.cost_rows import CostRow

AT = (0, 2, 5, 10, 20)
"""Instructions at which the twin gives the share of entries that cost no more."""
MOST = 8
"""Lines in one figure: more cannot be told apart."""


@dataclass(frozen=True)
class Curve:
    """``steps``: (instructions added per entry, entries that cost so much), ascending."""

    proposal: str
    steps: tuple[tuple[Fraction, int], ...]

    @property
    def entries(self) -> int:
        """All of them."""
        return sum(times for _, times in self.steps)

    def within(self, limit: int) -> int:
        """Entries that cost *limit* instructions at most."""
        return sum(times for added, times in self.steps if added <= limit)


@dataclass(frozen=True)
class Curves:
    """One figure; ``dropped``: proposals beyond MOST."""

    arch: str
    compiler: str
    curves: tuple[Curve, ...]
    dropped: tuple[str, ...]


def curves(costs: Sequence[CostRow]) -> list[Curves]:
    """One figure per architecture and compiler whose rows kept their distribution."""
    known = [row for row in costs if row.per_entry is not None and row.proposal != row.baseline]
    found = []
    for arch, compiler in dict.fromkeys((row.arch, row.compiler) for row in known):
        own = [row for row in known if (row.arch, row.compiler) == (arch, compiler)]
        names = list(dict.fromkeys(row.proposal for row in own))
        made = tuple(_curve(name, [row for row in own if row.proposal == name]) for name in names[:MOST])
        found.append(Curves(arch, compiler, made, tuple(names[MOST:])))
    return found


def _curve(name: str, rows: Sequence[CostRow]) -> Curve:
    sums: Counter[Fraction] = Counter()
    for row in rows:
        for added, times in (row.per_entry or {}).items():
            sums[Fraction(added)] += times
    return Curve(name, tuple(sorted(sums.items())))


def ascii_ecdf(shown: Curves, run_id: str) -> str:
    """The figure's twin: shares of entries that cost so much at most."""
    lines = wrap(f"Instructions added per function entry, {arch_title(shown.arch)}, {shown.compiler} (run {run_id})")
    lines += wrap("share of executed entries that cost so many at most; each entry at its function's mean")
    body = [
        Line(
            f" {curve.proposal}",
            (
                *(share(curve.within(at), curve.entries) for at in AT),
                signed(curve.steps[-1][0]) if curve.steps else "n/a",
            ),
        )
        for curve in shown.curves
    ]
    dropped = wrap(f"not shown: {', '.join(shown.dropped)}") if shown.dropped else []
    return mailable([*lines, "", *table((*(f"<= {at}" for at in AT), "most"), body), *dropped])
