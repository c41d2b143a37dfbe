"""Unwind metadata by format, before anything is drawn: bytes per KiB of code of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lab.report.sizes import densities, format_table
from lab.report.text import mailable
from lab.store.cost_rows import CostRow

MOST = 8
"""Proposals in one figure; ``dropped`` names the rest."""


@dataclass(frozen=True)
class Densities:
    """One figure.  ``rows``: (proposal, bytes per KiB of code by format; None where one could not be told)."""

    arch: str
    compiler: str
    rows: tuple[tuple[str, dict[str, Fraction | None]], ...]
    dropped: tuple[str, ...]
    costs: tuple[CostRow, ...]


def metadata_sizes(costs: Sequence[CostRow]) -> list[Densities]:
    """One per architecture and compiler whose rows kept what formats take; what others are measured against first."""
    known = [row for row in costs if row.formats]
    found = []
    for arch, compiler in dict.fromkeys((row.arch, row.compiler) for row in known):
        own = [row for row in known if (row.arch, row.compiler) == (arch, compiler)]
        bases = {row.baseline for row in own}
        names = sorted({row.proposal for row in own}, key=lambda name: (name not in bases, name))
        rows = tuple((name, densities([row for row in own if row.proposal == name])) for name in names[:MOST])
        in_order = tuple(sorted(own, key=lambda row: names.index(row.proposal)))
        found.append(Densities(arch, compiler, rows, tuple(names[MOST:]), in_order))
    return found


def ascii_densities(shown: Densities, run_id: str) -> str:
    """The figure's twin: the mail's table of every proposal, those of the figure or not."""
    _, *lines = format_table(shown.costs)
    return mailable([*lines, f"run {run_id}, {shown.compiler}"])
