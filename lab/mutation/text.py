"""The tables of mutants as plain ASCII in 70 columns."""

from __future__ import annotations

from collections.abc import Sequence

from lab.mutation.classes import WRONG
from lab.mutation.statistics import Share
from lab.mutation.summary import Line, Table
from lab.report import text
from lab.report.text import arch_title, count, mailable, share, wrap

_HEADER = ("n", "fn", "detected", "harmless", "silent", "95 % of silent")
_LEGEND = (
    "n: mutants that the design reached, in fn functions; a mutant is the unit, functions are the clusters of the "
    "interval (Clopper-Pearson, effective size). detected: no new wrong stop, and refused where the walk would be "
    "wrong. harmless: no new wrong stop. silent: some stop is MISSING, extra or a crash that was not so before. "
    "<=: upper bound with none seen, 95 % one-sided, all mutants of a function taken for one."
)


def render(tables: Sequence[Table], unsupported: Sequence[tuple[str, str]], repro: str) -> str:
    """Every table, what the words mean, what was left out, and the line to do it again with."""
    lines: list[str] = []
    for table in tables:
        lines += [*_table(table), ""]
    lines += wrap(_LEGEND, 0)
    lines += [line for name, reason in unsupported for line in wrap(f"{name}: left out: {reason}")]
    return mailable([*lines, "", *wrap(f"repro: {repro}")])


def _table(table: Table) -> list[str]:
    where = f"{arch_title(table.arch)}, {table.kind} ({', '.join(table.workloads)})"
    title = f"{where}: {count(table.drawn, 'mutant')}"
    if table.stillborn:
        title += f", {table.stillborn} of which the program did not survive"
    never = [line.design for line in table.lines if not line.shares["silent"].n]
    met = [line for line in table.lines if line.shares["silent"].n]
    lines = wrap(title)
    if met:
        lines += text.table(_HEADER, [text.Line(" " + line.design, _cells(line)) for line in met])
    if never:
        lines += wrap(f" not reached by any: {', '.join(never)}")
    return lines + [line for one in met for line in _details(one)]


def _cells(line: Line) -> tuple[str, ...]:
    silent = line.shares["silent"]
    shares = (share(line.shares[name].count, silent.n) for name in ("detected", "harmless", "silent"))
    return (str(silent.n), str(silent.clusters), *shares, interval(silent))


def interval(of: Share) -> str:
    """``12.1 - 34.0 %``, or ``<= 3.1 %`` where none was seen."""
    if of.bound is not None:
        return f"<= {100 * of.bound:.1f} %"
    return f"{100 * of.low:.1f} - {100 * of.high:.1f} %"


def _details(line: Line) -> list[str]:
    """What the silently wrong ones were, and how many bred false doubt."""
    said = []
    if line.by_verdict:
        verdicts = ", ".join(f"{line.by_verdict[name]} {name}" for name in WRONG if name in line.by_verdict)
        ways = ", ".join(f"{name} {wrong}/{n}" for name, (wrong, n) in line.by_operator.items() if wrong)
        said.append(f" {line.design}: worst verdict {verdicts}; by operator {ways}")
    if line.needless:
        said.append(f" {line.design}: needlessly refused at some stop with {count(line.needless, 'mutant')}")
    return [wrapped for each in said for wrapped in wrap(each)]
