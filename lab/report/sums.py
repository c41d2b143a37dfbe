"""Cells added up over workloads: one Sum per (architecture, compiler, mode, proposal, unwinder)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.store.rows import DOUBTS, VERDICTS, Cell, VerdictRow

OWN_REGIONS = frozenset({"original", "handler"})
"""Regions that are the program's own code; the others are what a rewriter wrote."""

Group = tuple[str, str, str]
"""(arch, compiler, mode): what one table is about."""


@dataclass
class Sum:
    """Counts of one proposal and unwinder over all workloads of a group."""

    proposal: str
    unwinder: str
    stops: int = 0
    covers: int = 0
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    own: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    doubt: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DOUBTS, 0))
    missing_pcs: int = 0
    missing_functions: int = 0
    own_missing: set[tuple[str, int]] = field(default_factory=set)
    own_missing_functions: set[tuple[str, str]] = field(default_factory=set)

    def add(self, cell: Cell) -> None:
        """Add one cell's counts.  PCs and functions are counted per image, so they add up."""
        self.stops += cell.stops
        self.covers += cell.covers
        for verdict, count in cell.verdicts.items():
            self.verdicts[verdict] += count
        for region in OWN_REGIONS & cell.by_region.keys():
            for verdict, count in cell.by_region[region].items():
                self.own[verdict] += count
        for kind, count in cell.doubt.items():
            self.doubt[kind] += count
        missing = cell.worst.get("missing", {})
        self.missing_pcs += missing.get("pcs", 0)
        self.missing_functions += missing.get("functions", 0)

    @property
    def own_stops(self) -> int:
        """Stops in the program's own code."""
        return sum(self.own.values())


@dataclass
class GroupSums:
    """All sums of one group, in the order the cells came, and what could not be run."""

    group: Group
    sums: dict[tuple[str, str], Sum] = field(default_factory=dict)
    unsupported: dict[tuple[str, str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    images: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """(workload, proposal) -> (stops, pcs): the same for every unwinder."""

    @property
    def proposals(self) -> list[str]:
        """Proposals that ran, in order."""
        return list(dict.fromkeys(proposal for proposal, _ in self.sums))

    def of(self, proposal: str) -> list[Sum]:
        """The sums of one proposal, one per unwinder."""
        return [item for (name, _), item in self.sums.items() if name == proposal]


def group_sums(cells: Iterable[Cell], verdicts: Iterable[VerdictRow]) -> list[GroupSums]:
    """Every group of a run in a stable order: architecture, compiler, mode."""
    groups: dict[Group, GroupSums] = {}
    for cell in cells:
        group = (cell.arch, cell.compiler, cell.mode)
        found = groups.setdefault(group, GroupSums(group))
        if cell.unsupported is not None:
            found.unsupported[cell.proposal, cell.unwinder, cell.unsupported].append(cell.workload)
            continue
        pair = (cell.proposal, cell.unwinder)
        found.sums.setdefault(pair, Sum(*pair)).add(cell)
        image = (cell.workload, cell.proposal)
        found.images[image] = max(found.images.get(image, (0, 0)), (cell.stops, cell.pcs))
    for row in verdicts:
        if row.verdict == "missing" and row.region in OWN_REGIONS:
            item = groups[row.arch, row.compiler, row.mode].sums[row.proposal, row.unwinder]
            item.own_missing.add((row.workload, row.pc))
            item.own_missing_functions.add((row.workload, row.function))
    return [groups[group] for group in sorted(groups)]
