"""The table as plain text of at most 70 columns, and as Markdown: a letter a cell, and what stands behind it."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import Final

from lab.conformance.evidence import Evidence
from lab.conformance.table import ABSENT, HOLDS, OPEN, VIOLATED, Cell, Counts, Row, Table
from lab.report.text import WIDTH, arch_title, clean, count, mailable, wrap
from lab.store.document import Run

LETTERS: Final = string.ascii_lowercase + string.ascii_uppercase
LEGEND: Final = (
    "H holds at every stop that meets the condition",
    "h holds, but for refusals alone: every such stop was refused",
    "V violated",
    "- not applicable",
    ". not exercised: no stop met the condition (this is never 'holds')",
    "* recommended by the document, not required",
    "~ no design breaks it here, so nothing shows that these workloads",
    "  provoke it: 'holds' says little in that row",
)
_MARKS: Final = {VIOLATED: "V", ABSENT: "-", OPEN: "."}


def mark(cell: Cell) -> str:
    """One character for *cell*; LEGEND says what each means."""
    return ("h" if cell.silent else "H") if cell.state == HOLDS else _MARKS[cell.state]


def text(table: Table, *, details: bool) -> str:
    """Every architecture's table; with *details* what stands behind each cell, else one stop a violated row."""
    lines = ["Requirements for reliable stack traces, and who meets them", *_sources(table.runs), ""]
    for arch in table.arches:
        rows = table.rows(arch)
        lines += [f"== {arch_title(arch)} ==", *_grid(rows, table.designs), ""]
        lines += [line for row in rows for line in (_details(row) if details else _brief(row))]
        lines.append("")
    lines += [*LEGEND, ""]
    if table.oracle_wrong:
        lines += wrap(
            f"DOUBT: the oracle, which is told the truth, is not exact at {table.oracle_wrong} stops: the lab is wrong"
        )
    return mailable([*lines, *(f"repro: unwindlab conformance{_again(table)}".splitlines())])


def markdown(table: Table) -> str:
    """A table for a README: a row a requirement, a column a design, an architecture after the other."""
    lines = ["Runs: " + ", ".join(f"`{run.run_id}`" for run in table.runs) + ".", ""]
    for arch in table.arches:
        rows = table.rows(arch)
        shown = [name for name in table.designs if any(row.cells[name].state != ABSENT for row in rows)]
        lines += [
            f"| {arch_title(arch)} | | {' | '.join(f'`{name}`' for name in shown)} |",
            "|---|---|" + "---|" * len(shown),
        ]
        lines += [
            f"| {row.requirement.id} | {row.requirement.title}{_notes(row)} | "
            + " | ".join(f"**{mark(c)}**" if mark(c) == "V" else mark(c) for c in map(row.cells.__getitem__, shown))
            + " |"
            for row in rows
        ]
        lines.append("")
    return "\n".join([*lines, *(f"    {line}" for line in LEGEND)]) + "\n"


def _notes(row: Row) -> str:
    return (" *" if row.requirement.recommended else "") + (" ~" if row.undecided else "")


def _sources(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        config = run.result.experiment
        compilers = ", ".join(f"{c['name']} {c['version']}" for c in run.result.compilers)
        what = f"{count(len(config.workloads), 'workload')}, {config.size} inputs, {', '.join(config.modes)}"
        yield from wrap(f"run {run.run_id}: {compilers}, {what}")


def _grid(rows: list[Row], designs: Sequence[str]) -> list[str]:
    """Letters, a requirement a line; as many columns as fit, then a further block.  Ends with the key."""
    shown = [name for name in designs if any(row.cells[name].state != ABSENT for row in rows)]
    width = max(len(row.requirement.id) for row in rows) + 3
    fit = min((WIDTH - width) // 2, len(LETTERS))
    lines: list[str] = []
    for first in range(0, len(shown), fit):
        part = shown[first : first + fit]
        key = LETTERS[: len(part)]
        lines += [" " * width + "".join(f"{letter:>2}" for letter in key)]
        for row in rows:
            label = f"{row.requirement.id}{_notes(row).replace(' ', '')}"
            lines.append(label.ljust(width) + "".join(f"{mark(row.cells[name]):>2}" for name in part))
        lines += ["", *_columns([f"{letter} {name}" for letter, name in zip(key, part, strict=True)]), ""]
    hidden = [name for name in designs if name not in shown]
    return lines + (wrap("not applicable here: " + ", ".join(hidden)) if hidden else [])


def _columns(items: list[str]) -> list[str]:
    width = max(len(item) for item in items) + 2
    per_line = max(1, WIDTH // width)
    return ["".join(item.ljust(width) for item in items[i : i + per_line]) for i in range(0, len(items), per_line)]


def _brief(row: Row) -> list[str]:
    """What a violated requirement asks, who breaks it, and the first stop that shows it."""
    broken = {name: cell for name, cell in row.cells.items() if cell.state == VIOLATED}
    if not broken:
        return []
    with_stop = [cell.evidence for cell in broken.values() if cell.evidence and cell.evidence.stop is not None]
    any_stop = [cell.evidence for cell in broken.values() if cell.evidence]
    lines = ["", f"{row.requirement.id}: {row.requirement.title}", *wrap(f"  broken by {', '.join(broken)}")]
    return lines + [line for evidence in (with_stop or any_stop)[:1] for line in _evidence(evidence)]


def _details(row: Row) -> list[str]:
    """Everything that stands behind a row's cells."""
    said = row.requirement
    lines = ["", f"{said.id}: {said.title}", *wrap(f"  {said.demand}", hang=0)]
    if row.undecided:
        lines += wrap("  No design breaks it: nothing shows that these workloads provoke it.", hang=0)
    for name, cell in row.cells.items():
        lines += wrap(f"  {name}: {cell.state}{_why(cell)}")
        lines += wrap(f"    in {', '.join(cell.workloads)}") if cell.workloads else []
        lines += wrap(f"    broken in {', '.join(cell.broken_in)}") if cell.broken_in else []
        lines += [line for reason in cell.left_out for line in wrap(f"    not counted: {reason}")]
        lines += _evidence(cell.evidence) if cell.evidence else []
    return lines


def _why(cell: Cell) -> str:
    if cell.reason:
        return f": {cell.reason}"
    tallied = ", ".join(f"{stops} {verdict}" for verdict, stops in cell.verdicts.items() if stops)
    seen = f"; {_counts(cell.seen)}, {', '.join(cell.modes)}: {tallied}"
    return (f"; at {_counts(cell.broken)}" if cell.broken.stops else "") + seen


def _counts(counts: Counts) -> str:
    return (
        f"{count(counts.stops, 'stop')} ({count(counts.pcs, 'PC')}, {count(counts.functions, 'function')},"
        f" {count(counts.images, 'image')})"
    )


def _evidence(found: Evidence) -> list[str]:
    where = f"  {found.unwinder}: {_said(found.verdict)} at {found.location} in {found.workload}"
    lines = wrap(f"{where} ({found.proposal}, {found.mode})")
    if found.stop is None:
        return [*lines, *wrap(f"    its stacks were not kept: {_unkept(found)}")]
    own = [found.location]
    lines += wrap("    true      " + " <- ".join([*own, *found.truth]), hang=10)
    lines += wrap("    reported  " + " <- ".join([*own, *found.reported]), hang=10)
    return [*lines, f"    {clean(found.explain)}"]


def _unkept(found: Evidence) -> str:
    if found.verdict == "exact":
        return "the trace is exact, but a live function holds none of its addresses"
    return "others came first, or stops of that place and verdict differ in what is asked"


def _said(verdict: str) -> str:
    return "MISSING" if verdict == "missing" else verdict


def _again(table: Table) -> str:
    return "".join(f" --run {run.run_id}" for run in table.runs)
