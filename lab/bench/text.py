"""The benchmark as text, at most 100 columns: a table for each program, then what the limits say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from lab.arch import arch_by_name
from lab.bench.limits import LEAST_X_PYTHON, MOST_APART, MOST_START_S, MOST_X_BARE, MOST_X_BARE_EIGHT, Finding
from lab.bench.measure import Row

_LAYOUT = "  {:<14}  {:<34}  {:>7}  {:>7}  {:>16}  {:>7}"
_ROOM = 34
_TITLES = ("engine", "unwinders", "insn/s", "x bare", "min..max", "by wall")


def render(rows: Sequence[Row], found: Sequence[Finding], start_cpu_s: float) -> str:
    """Tables and limits, with a line break at the end.  *start_cpu_s* is the processor time of a start, in seconds."""
    lines = [
        "Speed at every instruction; processor time, medians of interleaved repetitions",
        "",
        _LAYOUT.format(*_TITLES).rstrip(),
    ]
    for (arch, workload, proposal), group in groupby(rows, key=lambda row: (row.arch, row.workload, row.proposal)):
        lines.append(f"{arch_by_name(arch).title} {workload}, {proposal}")
        lines += [_line(row) for row in group]
    if any("batch" in row.registers for row in rows):
        lines += ["", "Registers were read through unicorn's API, not by pointer: native engines are slower so."]
    return (
        "\n".join([*lines, "", "Limits, fp and scs-lr in boundary, call-heavy programs", *_limits(found, start_cpu_s)])
        + "\n"
    )


def _line(row: Row) -> str:
    spread = f"{short(row.x_bare_min)}..{short(row.x_bare_max)}"
    values = (large(row.insn_per_s), short(row.x_bare), spread, short(row.x_bare_wall))
    names = "+".join(row.unwinders) or "-"
    return _LAYOUT.format(row.engine, names if len(names) <= _ROOM else f"{len(row.unwinders)} unwinders", *values)


def large(value: float) -> str:
    """Three digits or four and a unit of thousands: ``183 M``, ``52.8 k``, ``510``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{short(value / size)} {unit}"
    return short(value)


def short(value: float) -> str:
    """Two decimals below 10, one below 100, none above."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _limits(found: Sequence[Finding], start_cpu_s: float) -> list[str]:
    lines = []
    for (name, arch), group in groupby(found, key=lambda finding: (finding.name, finding.arch)):
        members = list(group)
        holds = "holds" if all(finding.holds for finding in members) else "does not hold"
        title = f"{arch_by_name(arch).title}: " if arch else ""
        lines.append(f"  {title + _says(name, arch):<58} {holds}")
        lines.append("    " + "  ".join(_value(finding, start_cpu_s) for finding in members))
    return lines


def _says(name: str, arch: str) -> str:
    return {
        "x_bare": f"at most {MOST_X_BARE.get(arch, 0):g}x bare",
        "x_bare_eight": f"eight unwinders at most {MOST_X_BARE_EIGHT:g}x bare",
        "depth": f"depth 1000 within {MOST_APART:.0%} of depth 10",
        "x_python": f"at least {LEAST_X_PYTHON:g}x the walk in plain Python",
        "start_s": f"start with compiled code cached under {MOST_START_S:g} s",
    }[name]


def _value(finding: Finding, start_cpu_s: float) -> str:
    if finding.name == "start_s":
        return f"{finding.value:.2f} s by the wall, {start_cpu_s:.2f} s of processor time"
    value = f"{finding.value - 1:+.0%}" if finding.name == "depth" else f"{short(finding.value)}x"
    return f"{finding.workload} {value}"
