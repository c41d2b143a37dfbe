"""The pairs that do not exist, each reason once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.report.text import arch_title, wrap
from lab.store.rows import Cell


@dataclass(frozen=True)
class _Extent:
    """For what a reason holds beside the unwinder and the proposal; empty text means for everything."""

    arches: str
    workloads: str
    modes: str


def unsupported(cells: Sequence[Cell]) -> list[str]:
    """One entry per (reason, set of unwinders, architectures, workloads, modes), listing its proposals.

    A reason that begins with the unwinder's own name is the same reason for another unwinder.  Whatever is
    true for all unwinders, architectures, workloads or modes of the run is said as "all", or not at all.
    """
    pairs: dict[tuple[str, str], dict[str, list[Cell]]] = {}
    for cell in cells:
        if cell.unsupported is not None:
            reason = cell.unsupported.removeprefix(f"{cell.unwinder} ")
            pairs.setdefault((reason, cell.proposal), {}).setdefault(cell.unwinder, []).append(cell)
    merged: dict[tuple[str, str, _Extent], list[str]] = {}
    for (reason, proposal), unwinders in pairs.items():
        extents: dict[_Extent, list[str]] = {}
        for unwinder, members in unwinders.items():
            extents.setdefault(_extent(members, cells), []).append(unwinder)
        for extent, names in extents.items():
            everyone = {c.unwinder for c in cells}
            merged.setdefault((reason, _some(names, everyone, "all unwinders"), extent), []).append(proposal)
    proposals = {c.proposal for c in cells}
    lines: list[str] = []
    for (reason, names_text, extent), those in merged.items():
        limits = "; ".join(text for text in (extent.arches, extent.workloads, extent.modes) if text)
        pairs_text = f"{_some(those, proposals, 'all proposals')} / {names_text}"
        lines += wrap(f" {pairs_text}{f' ({limits})' if limits else ''}: {reason}")
    return ["", "Unsupported pairs (proposal / unwinder: reason)", *lines] if lines else []


def _extent(members: Sequence[Cell], cells: Sequence[Cell]) -> _Extent:
    arches = _distinct(c.arch for c in members)
    return _Extent(
        ", ".join(arch_title(arch) for arch in arches) if set(arches) != {c.arch for c in cells} else "",
        _some(_distinct(c.workload for c in members), {c.workload for c in cells}, ""),
        _some(_distinct(c.mode for c in members), {c.mode for c in cells}, ""),
    )


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _some(names: Sequence[str], every: set[str], all_of_them: str) -> str:
    return all_of_them if set(names) == every else ", ".join(names)
