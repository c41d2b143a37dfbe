"""The table of what walks read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lab.cost.unwinding import LINE, UnwindRow
from lab.report.text import Line, arch_title, mailable, share, table, wrap

COLUMNS = ("frames", "steps", "reads", "lines", "lookups", "table B", "complete")


def render(rows: Sequence[UnwindRow], mode: str) -> str:
    """Per unwound frame, one table for each program and proposal."""
    lines = ["What unwinding reads, per frame reported"]
    lines += wrap(
        f"counted at {mode} stops; frames: a walk's mean; reads: words of 8 bytes; lines: different cache lines of "
        f"{LINE} bytes a walk touches; table B: bytes of unwind tables that look-ups touch (binary search and entry); "
        "complete: walks that came to the end.  Counts of the design as modelled, no kernel's speed"
    )
    for key in dict.fromkeys((row.arch, row.workload, row.proposal) for row in rows):
        own = [row for row in rows if (row.arch, row.workload, row.proposal) == key]
        arch, workload, proposal = key
        body = [Line(f" {row.unwinder}", _cells(row)) for row in own]
        lines += ["", *wrap(f"{arch_title(arch)}, {workload}, {proposal}: {own[0].walks} walks")]
        lines += table(COLUMNS, body)
    return mailable(lines)


def _cells(row: UnwindRow) -> tuple[str, ...]:
    amounts = (row.steps, row.reads, row.lines, row.lookups, row.table_bytes)
    per = tuple(f"{amount / row.frames:.2f}" if row.frames else "n/a" for amount in amounts)
    mean = f"{row.frames / row.walks:.1f}" if row.walks else "n/a"
    return (mean, *per, share(row.complete, row.walks))


def to_json(rows: Sequence[UnwindRow], mode: str) -> dict[str, Any]:
    """The sums, exact."""
    return {"mode": mode, "rows": [asdict(row) for row in rows]}
