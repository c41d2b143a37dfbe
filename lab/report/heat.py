"""Where in a function verdicts fall, before anything is drawn: prologue, body, epilogue, and code a rewriter wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lab.report.bars import LETTER, MOST_ROWS, SHOWN
from lab.report.sums import OWN_REGIONS, Group
from lab.report.text import Line, arch_title, mailable, share, table, wrap
from lab.store.rows import Cell, VerdictRow

PARTS = ("prologue", "body", "epilogue", "inserted", "outside")
"""``inserted``: what a rewriter put there or out of line; ``outside``: the program's code in no function."""
ABOUT = "share of the stops in each part of a function; parts as in docs/definitions.md, inserted: by a rewriter"


@dataclass(frozen=True)
class HeatRow:
    """``counts``: (part, verdict) -> stops; ``stops``: part -> stops."""

    proposal: str
    unwinder: str
    counts: dict[tuple[str, str], int]
    stops: dict[str, int]

    def share(self, part: str, verdict: str) -> float | None:
        """0..1, or None where the part has no stop."""
        whole = self.stops.get(part, 0)
        return self.counts.get((part, verdict), 0) / whole if whole else None

    def text(self, part: str, verdict: str) -> str:
        """The share as the tables print it; ``-`` where the part has no stop."""
        whole = self.stops.get(part, 0)
        return share(self.counts.get((part, verdict), 0), whole) if whole else "-"

    @property
    def wrong(self) -> float:
        """The share of all stops at which it is MISSING."""
        found = sum(stops for (_, verdict), stops in self.counts.items() if verdict == "missing")
        return found / max(1, sum(self.stops.values()))


@dataclass(frozen=True)
class Heat:
    """One figure: an architecture, a compiler and a mode.  ``verdicts`` and ``parts``: those that occur.

    ``clean``: pairs that are exact everywhere, which are not drawn; ``dropped``: rows beyond MOST_ROWS."""

    arch: str
    compiler: str
    mode: str
    rows: tuple[HeatRow, ...]
    verdicts: tuple[str, ...]
    parts: tuple[str, ...]
    clean: int
    dropped: int


def heats(cells: Iterable[Cell], verdicts: Iterable[VerdictRow]) -> list[Heat]:
    """One per group in which stops fall into two parts of the program's own functions and some are not exact."""
    groups: dict[Group, dict[tuple[str, str], HeatRow]] = {}
    for cell in cells:  # in their order: that of rows is the store's
        if cell.stops:
            pair = (cell.proposal, cell.unwinder)
            pairs = groups.setdefault((cell.arch, cell.compiler, cell.mode), {})
            pairs.setdefault(pair, HeatRow(*pair, Counter(), Counter()))
    for row in verdicts:
        part, heat = _part(row), groups[row.arch, row.compiler, row.mode][row.proposal, row.unwinder]
        heat.stops[part] += row.stops
        heat.counts[part, row.verdict] += row.stops
    found = (_heat(group, list(pairs.values())) for group, pairs in sorted(groups.items()))
    return [heat for heat in found if len(set(heat.parts) & set(PARTS[:3])) > 1 and heat.rows]


def _part(row: VerdictRow) -> str:
    if row.region not in OWN_REGIONS:
        return "inserted"
    return "outside" if row.offset_class == "none" else row.offset_class


def _heat(group: Group, rows: list[HeatRow]) -> Heat:
    telling = [row for row in rows if any(stops for (_, verdict), stops in row.counts.items() if verdict != "exact")]
    worst = sorted(telling, key=lambda row: row.wrong, reverse=True)[:MOST_ROWS]
    shown = tuple(row for row in telling if row in worst)
    occurring = {key for row in shown for key, stops in row.counts.items() if stops}
    return Heat(
        *group,
        rows=shown,
        verdicts=tuple(verdict for verdict in SHOWN if any(v == verdict for _, v in occurring)),
        parts=tuple(part for part in PARTS if any(p == part for p, _ in occurring)),
        clean=len(rows) - len(telling),
        dropped=len(telling) - len(shown),
    )


def captions(heat: Heat) -> list[str]:
    """What is not in the figure."""
    said = []
    if heat.clean:
        said.append(f"exact at every stop, not shown: {heat.clean} pairs of a proposal and an unwinder")
    if heat.dropped:
        said.append(f"left out: {heat.dropped} pairs with the fewest MISSING stops")
    return said


def ascii_heat(heat: Heat, run_id: str) -> str:
    """The figure's twin: a line per unwinder and verdict."""
    title = (
        f"Verdicts by part of a function, {arch_title(heat.arch)}, {heat.compiler}, {heat.mode} stops (run {run_id})"
    )
    body = table(heat.parts, _lines(heat))
    said = [line for caption in captions(heat) for line in wrap(caption)]
    return mailable([*wrap(title), *wrap(ABOUT), "", *body, *said, "M MISSING  E extra  C crash  r refused  - no stop"])


def _lines(heat: Heat) -> Iterator[Line]:
    proposal = None
    for row in heat.rows:
        if row.proposal != proposal:
            proposal = row.proposal
            yield Line(proposal)
        for verdict in heat.verdicts:
            if any(row.counts.get((part, verdict)) for part in heat.parts):
                cells = tuple(row.text(part, verdict) for part in heat.parts)
                yield Line(f" {row.unwinder} {LETTER[verdict]}", cells)
