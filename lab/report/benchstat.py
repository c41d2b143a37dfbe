"""Exact costs in benchstat's shape: base and proposal side by side, by class of function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from lab.report.text import arch_title, change, clean, wrap
from lab.store.cost_rows import CostRow

CLASSES = ("leaf", "non-leaf", "tail call", "recursive")
MOST = 6
"""Proposals of one architecture that are shown; the sums of all stand in the table above."""
_NAME, _BASE, _OWN = 14, 11, 12


def class_tables(rows: Sequence[CostRow]) -> list[str]:
    """Instructions per function entry by class, and per executed call in all: one block a proposal.

    Nothing where the rows did not keep them."""
    known = [row for row in rows if row.class_entries and row.proposal != row.baseline]
    lines = ["", "Cost per entry and call, lower is better"] if known else []
    for arch in dict.fromkeys(row.arch for row in known):
        proposals = list(dict.fromkeys(row.proposal for row in known if row.arch == arch))
        lines += [arch_title(arch)]
        for proposal in proposals[:MOST]:
            lines += _block(proposal, [row for row in known if (row.arch, row.proposal) == (arch, proposal)])
        if rest := proposals[MOST:]:
            lines += wrap(f" {len(rest)} more: unwindlab cost --arch {arch}")
    return lines


def _block(proposal: str, rows: Sequence[CostRow]) -> list[str]:
    sums: dict[str, Counter[str]] = {name: Counter() for name in ("entries", "base", "after")}
    for row in rows:
        for name, counted in sums.items():
            counted.update(getattr(row, f"class_{name}") or {})
    baseline = "/".join(dict.fromkeys(row.baseline for row in rows))
    lines = [f"{'':{_NAME}}|{clean(baseline):^{_BASE}}| {clean(proposal)}", _units("insn/entry")]
    for kind in CLASSES:
        if entries := sums["entries"][kind]:
            lines.append(_line(kind, entries, sums["base"][kind], sums["after"][kind]))
    calls = sum(row.calls for row in rows)
    if calls:
        totals = (sum(row.base_instructions for row in rows), sum(row.instructions for row in rows))
        lines += [_units("insn/call"), _line("all", calls, *totals)]
    return lines


def _units(unit: str) -> str:
    return f"{'':{_NAME}}|{unit:>{_BASE - 1}} |{unit:>{_OWN}}  vs base"


def _line(name: str, times: int, before: int, after: int) -> str:
    base, own = (f"{float(Fraction(count, times)):.2f}" for count in (before, after))
    return f"{name:{_NAME}}|{base:>{_BASE - 1}} |{own:>{_OWN}}  {change(before, after)} (exact)"
