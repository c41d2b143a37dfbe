"""What a proposal adds, beside what it reaches: cost per executed call, and instrumented functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from lab.report.text import Line, arch_title, change, count, signed, table, wrap
from lab.store.cost_rows import CostRow
from lab.store.rows import ImageRow, RunResult

MOST_REASONS = 6
COLUMNS = ("insn", "loads", "stores", ".text", "insn vs base")

Subject = tuple[str, str, str]
"""(arch, compiler, proposal)."""


def costs(found: RunResult) -> list[str]:
    """Added instructions, loads, stores per executed call and bytes of .text, summed over workloads.

    One table per baseline; within it the proposals of each architecture, in the run's order.
    """
    order = list(dict.fromkeys([*(c.proposal for c in found.cells), *sorted(c.proposal for c in found.costs)]))
    groups: dict[str, dict[tuple[str, str], dict[str, list[CostRow]]]] = {}
    for row in found.costs:
        if row.proposal != row.baseline:
            own = groups.setdefault(row.baseline, {}).setdefault((row.arch, row.compiler), {})
            own.setdefault(row.proposal, []).append(row)
    lines: list[str] = []
    for baseline, images in sorted(groups.items()):
        lines += ["", "Cost added per executed call, lower is better"]
        lines += wrap(f"against {baseline}; exact counts over all workloads; .text in bytes")
        body: list[Line] = []
        for (arch, compiler), proposals in sorted(images.items()):
            body.append(Line(heading(arch, compiler, found)))
            body += [Line(f" {name}", _cells(proposals[name])) for name in order if name in proposals]
        lines += table(COLUMNS, body)
    return lines


def heading(arch: str, compiler: str, found: RunResult) -> str:
    """The architecture, and the compiler where the run had several."""
    return arch_title(arch) if len(found.compilers) < 2 else f"{arch_title(arch)}, {compiler}"


def _cells(rows: Sequence[CostRow]) -> tuple[str, ...]:
    calls = sum(row.calls for row in rows)

    def per_call(counted: str) -> str:
        added = sum(getattr(row, counted) - getattr(row, f"base_{counted}") for row in rows)
        return signed(Fraction(added, calls) if calls else None)

    before, after = (sum(getattr(row, name) for row in rows) for name in ("base_instructions", "instructions"))
    text = sum(row.text_added for row in rows)
    sizes = (per_call("instructions"), per_call("loads"), per_call("stores"), f"{text:+d}" if text else "0")
    return (*sizes, f"{change(before, after)} (exact)")


def census(found: RunResult) -> list[str]:
    """instrumented/total functions per architecture and proposal, and why the others were left out.

    Proposals of one architecture that agree in all of it share an entry.
    """
    totals: dict[Subject, list[int]] = {}
    reasons: dict[Subject, Counter[str]] = {}
    for image in found.images:
        if image.instrumented is not None and image.functions is not None:
            total = totals.setdefault(_subject(image), [0, 0, 0])
            for i, number in enumerate((image.instrumented, image.functions, 1)):
                total[i] += number
            counted = reasons.setdefault(_subject(image), Counter())
            counted.update(str(site.get("reason", "")) for site in image.left_out)
    entries: dict[tuple[str, str, str], list[str]] = {}
    for (arch, compiler, proposal), (instrumented, functions, images) in totals.items():
        said = f"{instrumented}/{functions} in {count(images, 'image')}"
        left_out = _ranked(reasons[arch, compiler, proposal])
        entries.setdefault((heading(arch, compiler, found), said, left_out), []).append(proposal)
    lines = ["", "Instrumented functions (summed over images), and sites left out"] if entries else []
    for (title, said, left_out), proposals in entries.items():
        lines += wrap(f" {title}, {', '.join(proposals)}: {said}{f'; {left_out}' if left_out else ''}")
    return lines


def _subject(image: ImageRow) -> Subject:
    return (image.arch, image.compiler, image.proposal)


def _ranked(reasons: Counter[str]) -> str:
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{number} {reason}" for reason, number in ranked[:MOST_REASONS]]
    if rest := sum(number for _, number in ranked[MOST_REASONS:]):
        said.append(f"{rest} for other reasons")
    return ", ".join(said)
