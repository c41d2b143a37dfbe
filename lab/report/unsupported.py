"""The pairs that do not exist, each with its reason, in as few lines as say everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.report.text import arch_title, wrap
from lab.store.rows import Cell


def unsupported(cells: Sequence[Cell]) -> list[str]:
    """One entry per (architecture, compiler, reason, set of unwinders): which proposals, workloads and modes.

    Whatever is true for all unwinders, workloads or modes of its architecture is said as "all".
    """
    lines: list[str] = []
    for arch, compiler in dict.fromkeys((cell.arch, cell.compiler) for cell in cells):
        own = [cell for cell in cells if (cell.arch, cell.compiler) == (arch, compiler)]
        for names, reason in _entries(own):
            lines += wrap(f" {arch_title(arch)}, {compiler}, {names}: {reason}")
    return ["", "Unsupported (rows without stops)", *lines] if lines else []


def _entries(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """(which pairs, reason) of one architecture."""
    absent = [cell for cell in cells if cell.unsupported is not None]
    pairs: dict[tuple[str, str], dict[str, list[Cell]]] = {}
    for cell in absent:
        pairs.setdefault((cell.proposal, cell.unsupported or ""), {}).setdefault(cell.unwinder, []).append(cell)
    merged: dict[tuple[str, str, str, str], list[str]] = {}
    for (proposal, reason), unwinders in pairs.items():
        first = next(iter(unwinders.values()))
        everyone = _some(list(unwinders), {c.unwinder for c in cells}, "all unwinders")
        workloads = _some(_distinct(c.workload for c in first), {c.workload for c in cells}, "")
        modes = _some(_distinct(c.mode for c in first), {c.mode for c in cells}, "")
        merged.setdefault((everyone, workloads, modes, reason), []).append(proposal)
    return [
        (
            f"{', '.join(proposals)} / {everyone}" + "".join(f" ({limit})" for limit in (workloads, modes) if limit),
            reason,
        )
        for (everyone, workloads, modes, reason), proposals in merged.items()
    ]


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _some(names: Sequence[str], every: set[str], all_of_them: str) -> str:
    return all_of_them if set(names) == every else ", ".join(names)
