"""mail.txt: the run as one would paste it into a mail to a kernel list.  Exact counts, no intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from lab.errors import InputError
from lab.report.benchstat import class_tables
from lab.report.costs import census, costs, heading
from lab.report.sizes import format_table, size_table
from lab.report.strip import strips
from lab.report.strips import MOST_STRIPS, strip_section
from lab.report.sums import GroupSums, group_sums
from lab.report.text import Line, arch_title, count, mailable, table, wrap
from lab.report.unsupported import unsupported
from lab.report.verdicts import (
    HEADER,
    ORACLE,
    oracle_is_exact,
    oracle_line,
    pcs_text,
    refusal_table,
    shares,
    verdict_table,
)
from lab.store.cost_rows import CostRow
from lab.store.document import Run
from lab.store.rows import Cell, RunResult

SECTIONS = ("verdicts", "strip", "costs", "sizes", "refusals", "census", "unsupported", "cells", "notes")
"""What ``unwindlab mail --section`` knows."""
LEGEND = """
exact   = reported return addresses are the true ones
refused = the unwinder said unreliable (safe)
MISSING = claimed reliable, but a live caller is absent or an
          address is wrong (false trust: unsafe for livepatch)
extra   = claimed reliable, superset of the true stack
crash   = the unwinder failed or broke its contract
covers  = every live function is among the reported ones (livepatch's
          question; may fail on an exact stack: noreturn call last,
          or a pc in code that a rewriter put out of line)
needless refusal = the same walk without it would have been exact
          (false doubt); justified = not exact; undetermined = the
          walk cannot go on
without inserted code = stops in the program's own code only
          (not repeated where it prints the same)
PCs and functions are distinct per image, then summed over images.
Instructions are counted in emulation: no time, caches or SMP.
""".strip().split("\n")


def section(run: Run, names: Sequence[str], functions: Sequence[str] = (), most: int = MOST_STRIPS) -> str:
    """Some SECTIONS of the mail only, between its first lines and the one that reproduces it.

    *functions* and *most* say of which functions there are strips: those of that name, or the worst of each group.
    InputError for an unknown section or function.
    """
    found = run.result
    check_sections(names)
    groups = group_sums(found.cells, found.verdicts)
    parts: dict[str, Callable[[], Iterable[str]]] = {
        "verdicts": lambda: [*_verdicts(found, groups), "", *LEGEND],
        "strip": lambda: strip_section(found, functions, most),
        "costs": lambda: [*costs(found), *class_tables(found.costs)],
        "sizes": lambda: [*size_table(_against_base(found)), *format_table(found.costs)],
        "refusals": lambda: _refusals(found, groups),
        "census": lambda: census(found),
        "unsupported": lambda: unsupported(found.cells),
        "cells": lambda: _cells(found.cells),
        "notes": lambda: _notes(run),
    }
    lines = [*_heading(run)]
    for name in dict.fromkeys(names):
        lines += list(parts[name]()) or ["", f"{name}: this run has none"]
    return mailable([*lines, "", _repro(run)])


def check_sections(names: Iterable[str]) -> None:
    """InputError for each of *names* that is no section."""
    if unknown := [name for name in names if name not in SECTIONS]:
        raise InputError(*(f"unknown section '{name}'; known: {', '.join(SECTIONS)}" for name in unknown))


def mail(run: Run, cells: bool = False) -> str:
    """The whole mail: verdicts first, then costs, then what explains them.  Deterministic: no time, no date.

    With *cells* every cell is listed too, and the worst function of every table, not only the one that
    matters most.
    """
    found = run.result
    groups = group_sums(found.cells, found.verdicts)
    lines = [*_heading(run), *_verdicts(found, groups), *_worst(found, groups, cells)]
    lines += [*costs(found), *class_tables(found.costs)]
    lines += [*size_table(_against_base(found)), *format_table(found.costs)]
    lines += _refusals(found, groups)
    lines += [*census(found), *unsupported(found.cells)]
    if cells:
        lines += _cells(found.cells)
    lines += _notes(run)
    lines += ["", *LEGEND, ""]
    return mailable([*lines, _repro(run)])


def _repro(run: Run) -> str:
    made = f"(unwindlab {run.provenance.unwindlab}, seed {run.result.experiment.seed})"
    return f"repro: unwindlab rerun {run.run_id}   {made}"


def _refusals(found: RunResult, groups: Sequence[GroupSums]) -> list[str]:
    refusals = refusal_table(groups, lambda group: _title(found, group))
    return ["", "What live patching asks (covers), and what refusals were worth", *refusals] if refusals else []


def _against_base(found: RunResult) -> list[CostRow]:
    return [row for row in found.costs if row.proposal != row.baseline]


def _verdicts(found: RunResult, groups: Sequence[GroupSums]) -> Iterator[str]:
    alone = all(item.unwinder == ORACLE for group in groups for item in group.sums.values())
    exact = oracle_is_exact(groups) and not alone
    for group in groups:
        if group.sums:
            yield ""
            yield from verdict_table(group, _title(found, group), ORACLE if exact else None)
    if exact:
        yield ""
        yield oracle_line(groups)


def _worst(found: RunResult, groups: Sequence[GroupSums], every: bool) -> Iterator[str]:
    """The worst functions, as strips: of every group, or of the first where a call stop is MISSING."""
    shown = strips(found)
    chosen = [g.group for g in groups if g.group in shown and (every or g.group[2] == "call")]
    for group in chosen if every else chosen[:1]:
        arch, compiler, mode = group
        yield ""
        yield from wrap(f"{heading(arch, compiler, found)}, {mode} stops")
        yield from shown[group]


def _title(found: RunResult, group: GroupSums) -> str:
    arch, compiler, _ = group.group
    return heading(arch, compiler, found)


def _heading(run: Run) -> Iterator[str]:
    found = run.result
    yield "Unwind verdict at every stop, against the true call stack"
    compilers = ", ".join(f"{c.get('name')} {c.get('version')}" for c in found.compilers)
    levels = sorted({flag for image in found.images for flag in image.flags if flag.startswith("-O")})
    workloads = len({cell.workload for cell in found.cells})
    yield from wrap(
        f"{' '.join([compilers, *levels])}, {count(workloads, 'workload')}, {found.experiment.size} inputs, "
        f"run {run.run_id}"
    )


def _cells(cells: Iterable[Cell]) -> list[str]:
    """Every cell that ran: one heading per image and mode, one line per unwinder."""
    images: dict[tuple[str, str, str, str, str], list[Cell]] = {}
    for cell in cells:
        if cell.unsupported is None:
            key = (cell.arch, cell.compiler, cell.workload, cell.proposal, cell.mode)
            images.setdefault(key, []).append(cell)
    lines: list[Line] = []
    for (arch, compiler, workload, proposal, mode), members in images.items():
        first = members[0]
        lines.append(Line(f"{workload}, {proposal}, {arch_title(arch)}, {compiler}, {mode}, {first.engine}:"))
        lines.append(Line(f" {first.stops} stops, {first.pcs} PCs, {first.instructions} instructions"))
        for cell in members:
            worst = cell.worst.get("missing", {})
            missing = pcs_text(worst.get("pcs", 0), worst.get("functions", 0))
            lines.append(Line(f"  {cell.unwinder}", (*shares(cell.verdicts, cell.stops), missing)))
    return ["", "Every cell", *table(HEADER, lines)] if lines else []


def _notes(run: Run) -> list[str]:
    """What the run and its cells remarked, each remark once."""
    remarks = Counter(note for cell in run.result.cells for note in cell.notes)
    lines = [line for note in run.result.notes for line in wrap(f" {note}")]
    for note, number in remarks.items():
        lines += wrap(f" {note} ({count(number, 'cell')})")
    return ["", "Notes", *lines] if lines else []
