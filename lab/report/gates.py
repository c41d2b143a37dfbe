"""Gates: limits on verdicts that a build may depend on.  Every cell of a run must keep every limit by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lab.errors import InputError
from lab.report.text import share
from lab.store.rows import Cell, RunResult, VerdictRow, cell_key

GATED = ("missing", "refused", "extra", "crash")
"""Verdicts that can have a limit."""
DEFAULT = {"missing": "0", "crash": "0"}
"""What is asked where nothing is."""
MOST_PLACES = 10


@dataclass(frozen=True)
class Limit:
    """At most ``count`` stops of a cell, or (``percent``) at most that share of them, may get ``verdict``."""

    verdict: str
    count: int | None
    percent: Fraction | None

    def holds(self, cell: Cell) -> bool:
        """Whether *cell* keeps it; exact, without rounding."""
        found = cell.verdicts[self.verdict]
        if self.count is not None:
            return found <= self.count
        assert self.percent is not None
        return Fraction(100 * found) <= self.percent * cell.stops

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{float(self.percent or 0):g}%"


@dataclass(frozen=True)
class Broken:
    """A limit that a cell breaks.  ``places``: (location, source line or "", stops) with that verdict, the most
    frequent first, at most MOST_PLACES; ``pcs``: how many there are."""

    cell: Cell
    limit: Limit
    places: tuple[tuple[str, str, int], ...]
    pcs: int

    def __str__(self) -> str:
        name = "MISSING" if self.limit.verdict == "missing" else self.limit.verdict
        stops = self.cell.stops
        found = self.cell.verdicts[self.limit.verdict]
        where = f"; most at {self.places[0][0]}" if self.places else ""
        return (
            f"{'/'.join(self.cell.key)}: {found} of {stops} stops {name} ({share(found, stops)}), "
            f"at most {self.limit}; {self.pcs} PCs{where}"
        )


@dataclass(frozen=True)
class Checked:
    """What came of it: the cells looked at, the limits they break, and the pairs that could not be run."""

    cells: tuple[Cell, ...]
    broken: tuple[Broken, ...]
    unsupported: tuple[Cell, ...]

    @property
    def failed(self) -> int:
        """Cells that break a limit."""
        return len({broken.cell.key for broken in self.broken})


def limit(verdict: str, text: str) -> Limit:
    """The limit that ``--max-VERDICT TEXT`` means: a count (``0``), or a share of the stops (``0.5%``).  InputError."""
    if re.fullmatch(r"\d{1,18}", text):
        return Limit(verdict, int(text), None)
    if re.fullmatch(r"\d{1,3}(\.\d{1,9})?%", text) and Fraction(text[:-1]) <= 100:
        return Limit(verdict, None, Fraction(text[:-1]))
    raise InputError(f"--max-{verdict} {text}: neither a count of stops such as 0 nor a share such as 0.5%")


def check(found: RunResult, limits: Sequence[Limit], cells: Iterable[Cell]) -> Checked:
    """Which of *cells* break which of *limits*; InputError where none of them ran: nothing would have been checked."""
    given = list(cells)
    ran = [cell for cell in given if cell.unsupported is None and cell.stops]
    if not ran:
        raise InputError(f"nothing to check: none of the {len(given)} cells asked for has a stop")
    failed = [(cell, each) for cell in ran for each in limits if not each.holds(cell)]
    rows: dict[tuple[tuple[str, ...], str], list[VerdictRow]] = {(c.key, each.verdict): [] for c, each in failed}
    for row in found.verdicts:
        if (key := (cell_key(row), row.verdict)) in rows:
            rows[key].append(row)
    sources = {(r.arch, r.compiler, r.workload, r.proposal, r.pc): r.source for r in found.code}
    broken = tuple(_broken(cell, each, rows[cell.key, each.verdict], sources) for cell, each in failed)
    return Checked(tuple(ran), broken, tuple(cell for cell in given if cell.unsupported is not None))


def _broken(
    cell: Cell, limit: Limit, rows: Sequence[VerdictRow], sources: dict[tuple[str, str, str, str, int], str]
) -> Broken:
    stops: dict[int, int] = {}
    names: dict[int, str] = {}
    for row in rows:
        stops[row.pc] = stops.get(row.pc, 0) + row.stops
        names[row.pc] = row.location
    worst = sorted(stops, key=lambda pc: (-stops[pc], pc))[:MOST_PLACES]
    image = cell.key[:4]
    return Broken(cell, limit, tuple((names[pc], sources.get((*image, pc), ""), stops[pc]) for pc in worst), len(stops))
