"""Accuracy against cost, before anything is drawn: a point for each proposal and unwinder, and which are not beaten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lab.report.sums import GroupSums
from lab.report.text import Line, arch_title, mailable, share, signed, table, wrap
from lab.store.cost_rows import CostRow

ORACLE = "oracle"


@dataclass(frozen=True)
class Point:
    """``cost``: instructions added per executed call; ``missing`` and ``exact``: stops of ``stops``."""

    proposal: str
    unwinder: str
    cost: Fraction
    missing: int
    exact: int
    stops: int

    def beats(self, other: Point) -> bool:
        """No worse in cost, MISSING and exact, and better in one of them."""
        mine = (self.cost, Fraction(self.missing, self.stops), -Fraction(self.exact, self.stops))
        theirs = (other.cost, Fraction(other.missing, other.stops), -Fraction(other.exact, other.stops))
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True)
class Pareto:
    """One figure.  ``front``: the points that none beats, by cost; ``rest``: the others."""

    arch: str
    compiler: str
    mode: str
    front: tuple[Point, ...]
    rest: tuple[Point, ...]


def paretos(groups: Sequence[GroupSums], costs: Sequence[CostRow]) -> list[Pareto]:
    """One a group of cells that has points at two costs at least, and a MISSING stop."""
    found = []
    for group in groups:
        arch, compiler, mode = group.group
        prices = _prices([row for row in costs if (row.arch, row.compiler) == (arch, compiler)])
        points = [
            Point(one.proposal, one.unwinder, prices[one.proposal], one.verdicts["missing"], one.verdicts["exact"],
                  one.stops)
            for one in group.sums.values()
            if one.proposal in prices and one.stops and one.unwinder != ORACLE
        ]  # fmt: skip
        if len({point.cost for point in points}) < 2 or not any(point.missing for point in points):
            continue
        order = sorted(points, key=lambda p: (p.cost, Fraction(p.missing, p.stops), p.proposal, p.unwinder))
        front = tuple(p for p in order if not any(other.beats(p) for other in points))
        found.append(Pareto(arch, compiler, mode, front, tuple(p for p in order if p not in front)))
    return found


def _prices(rows: Sequence[CostRow]) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for name in dict.fromkeys(row.proposal for row in rows):
        own = [row for row in rows if row.proposal == name]
        if calls := sum(row.calls for row in own):
            found[name] = Fraction(sum(row.added_instructions for row in own), calls)
    return found


def ascii_pareto(shown: Pareto, run_id: str) -> str:
    """The figure's twin: the front as a table, cheapest first."""
    lines = wrap(
        f"Accuracy against cost, {arch_title(shown.arch)}, {shown.compiler}, {shown.mode} stops (run {run_id})"
    )
    lines += wrap("the pairs that no other beats in all of cost, MISSING and exact; cost: instructions added per call")
    body = [
        Line(f" {p.proposal} / {p.unwinder}", (signed(p.cost), share(p.missing, p.stops), share(p.exact, p.stops)))
        for p in shown.front
    ]
    rest = f"{len(shown.rest)} pairs are beaten by one of these"
    return mailable([*lines, "", *table(("insn/call", "MISSING", "exact"), body), rest])
