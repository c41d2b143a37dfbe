"""Rows added up: for each architecture, kind and design the shares of mutants with their intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lab.mutation.api import KINDS
from lab.mutation.classes import WRONG, Class
from lab.mutation.run import Fate, Row
from lab.mutation.statistics import Share, share


@dataclass(frozen=True)
class Line:
    """One design: ``shares`` of the mutants it was reached by, by class; ``by_verdict``: silently wrong mutants by
    their worst verdict; ``needless``: mutants that made it refuse where the walk would have been exact;
    ``by_operator``: operator -> (silently wrong, reached)."""

    design: str
    not_reached: int
    shares: dict[str, Share]
    by_verdict: dict[str, int]
    needless: int
    by_operator: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Table:
    """One architecture and kind.  ``drawn`` mutants, of which ``stillborn`` did not survive."""

    arch: str
    kind: str
    drawn: int
    stillborn: int
    workloads: tuple[str, ...]
    lines: tuple[Line, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self)


def tables(rows: Sequence[Row], designs: Sequence[str]) -> list[Table]:
    """The tables of *rows*, *designs* in that order; none for what has no rows."""
    found = []
    for arch in dict.fromkeys(row.arch for row in rows):
        for kind in KINDS:
            own = [row for row in rows if (row.arch, row.kind) == (arch, kind)]
            if own:
                found.append(_table(arch, kind, own, designs))
    return found


def _table(arch: str, kind: str, rows: list[Row], designs: Sequence[str]) -> Table:
    live = [row for row in rows if not row.stillborn]
    lines = [_line(name, [(row, row.fates[name]) for row in live if name in row.fates]) for name in designs]
    workloads = tuple(dict.fromkeys(row.workload for row in rows))
    shown = tuple(line for line in lines if line is not None)
    return Table(arch, kind, len(rows), len(rows) - len(live), workloads, shown)


def _line(design: str, fates: list[tuple[Row, Fate]]) -> Line | None:
    if not fates:
        return None
    met = [(row, fate) for row, fate in fates if fate.klass is not Class.NOT_REACHED]
    silent = [fate for _, fate in met if fate.klass is Class.SILENT]
    operators: dict[str, tuple[int, int]] = {}
    for row, fate in met:
        wrong, all_of_it = operators.get(row.operator, (0, 0))
        operators[row.operator] = wrong + (fate.klass is Class.SILENT), all_of_it + 1
    return Line(
        design=design,
        not_reached=len(fates) - len(met),
        shares={
            klass.value: share([((row.workload, row.function), fate.klass is klass) for row, fate in met])
            for klass in (Class.DETECTED, Class.HARMLESS, Class.SILENT)
        },
        by_verdict=dict(Counter(_worst(fate) for fate in silent)),
        needless=sum(1 for _, fate in met if fate.needless),
        by_operator=operators,
    )


def _worst(fate: Fate) -> str:
    return next(name for name in WRONG if fate.wrong.get(name))
