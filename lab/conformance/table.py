"""The table: for each requirement, architecture and design what the runs say, and the stop that shows a violation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Final

from lab import registry
from lab.conformance.evidence import Evidence, Kept, shown
from lab.conformance.planning import provokes, sites
from lab.conformance.requirement import Requirement
from lab.errors import InputError
from lab.images.workloads import all_workloads
from lab.store.document import Run
from lab.store.rows import VERDICTS, VerdictRow
from lab.store.rows import Cell as RunCell
from lab.unwind.api import Unwinder

HOLDS: Final = "holds"
VIOLATED: Final = "violated"
ABSENT: Final = "not applicable"
OPEN: Final = "not exercised"

_Group = tuple[int, str, str, str]
"""(number of the run, workload, proposal, mode)."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Stops, distinct PCs and functions (each within its image), and images."""

    stops: int = 0
    pcs: int = 0
    functions: int = 0
    images: int = 0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One design under one requirement.  ``state``: HOLDS, VIOLATED, ABSENT or OPEN; never HOLDS without a stop.

    ``seen``: what met the requirement's condition, ``workloads``: the programs it met it in; ``broken`` and
    ``broken_in``: what broke it.  ``verdicts``: stops of ``seen`` by verdict.  ``modes``: the kinds of stop that count
    here.  ``reason``: why ABSENT or OPEN.  ``left_out``: what could not be run for this design, although other stops
    could.
    """

    state: str
    seen: Counts = Counts()
    broken: Counts = Counts()
    workloads: tuple[str, ...] = ()
    broken_in: tuple[str, ...] = ()
    verdicts: dict[str, int] = field(default_factory=dict)
    modes: tuple[str, ...] = ()
    reason: str = ""
    left_out: tuple[str, ...] = ()
    evidence: Evidence | None = None

    @property
    def silent(self) -> bool:
        """Whether it holds for nothing but refusals."""
        return self.state == HOLDS and self.verdicts.get("refused", 0) == self.seen.stops

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"refused_all": self.silent}


@dataclass(frozen=True)
class Row:
    """One requirement on one architecture: a cell for each design."""

    requirement: Requirement
    arch: str
    cells: dict[str, Cell]

    @property
    def undecided(self) -> bool:
        """Whether stops met it and no design broke it: nothing shows that its workloads provoke anything."""
        states = {cell.state for cell in self.cells.values()}
        return HOLDS in states and VIOLATED not in states

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``id``, ``title``, ``cells`` by design, and what the requirement says."""
        said = self.requirement
        return {
            "id": said.id,
            "title": said.title,
            "arch": self.arch,
            "section": said.section,
            "demand": said.demand,
            "recommended": said.recommended,
            "no_design_breaks_it": self.undecided,
            "cells": {name: cell.to_json() for name, cell in self.cells.items()},
        }


class Table:
    """What *runs* say about *rows*.  ``designs``: the columns, those of the runs if none; ``arches`` alike."""

    def __init__(
        self,
        runs: Sequence[Run],
        rows: Sequence[Requirement],
        designs: Sequence[str] = (),
        *,
        arches: Sequence[str] = (),
    ) -> None:
        self.runs = tuple(runs)
        self.requirements = tuple(rows)
        self.designs = tuple(designs) or _columns(runs)
        there = dict.fromkeys(cell.arch for run in runs for cell in run.result.cells)
        self.arches = tuple(arch for arch in there if not arches or arch in arches)
        self._workloads = {workload.name: workload for workload in all_workloads()}
        self._rows: dict[str, list[Row]] = {}
        self._kept = [Kept(run) for run in self.runs]
        self._cells: dict[tuple[str, str], list[RunCell]] = defaultdict(list)
        self._verdicts: dict[tuple[str, str], dict[_Group, list[VerdictRow]]] = defaultdict(lambda: defaultdict(list))
        for number, run in enumerate(self.runs):
            for cell in run.result.cells:
                self._cells[cell.arch, cell.unwinder].append(cell)
            for row in run.result.verdicts:
                group = (number, row.workload, row.proposal, row.mode)
                self._verdicts[row.arch, row.unwinder][group].append(row)

    def rows(self, arch: str) -> list[Row]:
        """Every requirement on *arch*."""
        if arch not in self._rows:
            self._rows[arch] = [
                Row(said, arch, {name: self.cell(said, arch, name) for name in self.designs})
                for said in self.requirements
            ]
        return self._rows[arch]

    @property
    def oracle_wrong(self) -> int:
        """Stops at which the oracle is not exact: more than none is a fault of the lab."""
        return sum(
            cell.stops - cell.verdicts["exact"]
            for (_, name), cells in self._cells.items()
            if name == "oracle"
            for cell in cells
        )

    def cell(self, said: Requirement, arch: str, design: str) -> Cell:
        """One cell."""
        if arch not in said.arches:
            return Cell(state=ABSENT, reason=said.elsewhere)
        if said.metadata and not _reads_metadata(design):
            return Cell(state=ABSENT, reason="it reads no metadata")
        found = _design(design)
        if said.shadow and not _needs_shadow(design):
            return Cell(state=ABSENT, reason="it reads no shadow stack of inserted code")
        if found is not None and (reason := found.unsupported(arch, has_shadow=True)):
            return Cell(state=ABSENT, reason=reason)
        known = [
            cell
            for cell in self._cells[arch, design]
            if self._wanted(said, design, cell.workload, cell.proposal, cell.mode)
        ]
        usable = [cell for cell in known if cell.unsupported is None]
        reasons = tuple(dict.fromkeys(cell.unsupported for cell in known if cell.unsupported is not None))
        if known and not usable:
            return Cell(state=ABSENT, reason="; ".join(reasons))
        if not known:
            return Cell(state=OPEN, reason=self._nothing(said, design))
        return self._filled(said, arch, design, usable, _left_out(arch, design, reasons))

    def _filled(
        self, said: Requirement, arch: str, design: str, usable: list[RunCell], left_out: tuple[str, ...]
    ) -> Cell:
        """A cell for which there are stops, at least of its modes and images."""
        modes = tuple(dict.fromkeys(cell.mode for cell in usable))
        met = list(self._met(said, arch, design))
        if not met:
            stops = sum(cell.stops for cell in usable)
            return Cell(state=OPEN, modes=modes, left_out=left_out, reason=f"none of {stops} stops meets its condition")
        return replace(self._judged(said, met), modes=modes, left_out=left_out)

    def _met(self, said: Requirement, arch: str, design: str) -> Iterator[tuple[int, VerdictRow]]:
        """The verdict rows that count, each with the number of its run."""
        for (number, workload, proposal, mode), rows in self._verdicts[arch, design].items():
            if self._wanted(said, design, workload, proposal, mode):
                known = self._workloads.get(workload)
                functions = sites(said, known) if known else frozenset()
                for row in rows:
                    if said.matches(row) and (not functions or row.function in functions):
                        yield number, row

    def _judged(self, said: Requirement, met: list[tuple[int, VerdictRow]]) -> Cell:
        verdicts = dict.fromkeys(VERDICTS, 0)
        for _, row in met:
            verdicts[row.verdict] += row.stops
        cell = Cell(state=HOLDS, seen=_counts(met), workloads=_workloads(met), verdicts=verdicts)
        if said.answers and verdicts["exact"]:
            return cell
        broken = [each for each in met if (each[1].doubt == "needless" if said.answers else said.broken_by(each[1]))]
        if broken:
            evidence = shown(self._kept, broken)
            return replace(
                cell, state=VIOLATED, broken=_counts(broken), broken_in=_workloads(broken), evidence=evidence
            )
        if said.answers:
            return replace(cell, state=OPEN, reason="nowhere exact, and no refusal was found needless")
        return cell

    def _wanted(self, said: Requirement, design: str, workload: str, proposal: str, mode: str) -> bool:
        """Whether stops of that mode in that image count."""
        known = self._workloads.get(workload)
        fits = _needs_shadow(design) or not said.proposals or proposal in said.proposals
        return fits and mode in said.modes and (said.everywhere or (known is not None and provokes(said, known)))

    def _nothing(self, said: Requirement, design: str) -> str:
        """Why no run has a cell for it."""
        if said.lacking and not any(provokes(said, workload) for workload in self._workloads.values()):
            return said.lacking
        if not any(cell.unwinder == design for run in self.runs for cell in run.result.cells):
            return "no run has this design"
        return "no run has its workloads, modes and proposals"


@cache
def _design(name: str) -> Unwinder | None:
    try:
        return registry.unwinder(name)
    except InputError:  # an unwinder of somebody's file, which is not here
        return None


def _needs_shadow(design: str) -> bool:
    found = _design(design)
    return found is not None and found.needs_shadow


def _reads_metadata(design: str) -> bool:
    found = _design(design)
    return found is None or bool(found.tables)


def _left_out(arch: str, design: str, reasons: tuple[str, ...]) -> tuple[str, ...]:
    """What could not be run and is worth saying: not that a shadow stack needs an image with one."""
    found = _design(design)
    expected = found.unsupported(arch, has_shadow=False) if found is not None and found.needs_shadow else None
    return tuple(reason for reason in reasons if reason != expected)


def _counts(rows: list[tuple[int, VerdictRow]]) -> Counts:
    images = {(number, row.compiler, row.workload, row.proposal) for number, row in rows}
    return Counts(
        stops=sum(row.stops for _, row in rows),
        pcs=len({(n, row.compiler, row.workload, row.proposal, row.pc) for n, row in rows}),
        functions=len({(n, row.compiler, row.workload, row.proposal, row.function) for n, row in rows}),
        images=len(images),
    )


def _workloads(rows: list[tuple[int, VerdictRow]]) -> tuple[str, ...]:
    return tuple(sorted({row.workload for _, row in rows}))


def _columns(runs: Sequence[Run]) -> tuple[str, ...]:
    names = dict.fromkeys(cell.unwinder for run in runs for cell in run.result.cells)
    return tuple(name for name in names if name != "oracle")
