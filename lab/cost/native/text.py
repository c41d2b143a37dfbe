"""Native times in benchstat's shape, and in JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from lab.cost.native.measure import Case, NativeRow, Trust
from lab.cost.native.stats import ALPHA, CONFIDENCE
from lab.report.text import Line, arch_title, count, mailable, table, wrap


def render(rows: Sequence[NativeRow], todo: Sequence[Case], said: Sequence[str], trusted: Trust | None) -> str:
    """One table a program: base first, then each proposal with what the statistics say."""
    first = rows[0]
    lines = [f"Native time, {arch_title(first.arch)}, lower is better"]
    number = first.comparison.after.n
    lines += wrap(
        f"medians of processor time, {CONFIDENCE:.0%} intervals of the median, Mann-Whitney on all {number} samples "
        f"each, interleaved; ~: not told apart at {ALPHA}"
    )
    for case in todo:
        own = [row for row in rows if row.program == case.program]
        if not own:
            continue
        before = own[0].comparison.before
        body = [Line(" base", (_value(before.median, before.spread), ""))]
        for row in own:
            after = row.comparison.after
            body.append(Line(f" {row.proposal}", (_value(after.median, after.spread), _change(row))))
        lines += ["", f"{case.program}: {case.title}", *table((case.unit, "vs base"), body)]
    lines += _left_out(todo)
    lines += [line for remark in said for line in wrap(remark)]
    return mailable([*lines, *(_trust(trusted) if trusted else ())])


def _value(median: float, spread: float) -> str:
    digits = 1 if median >= 100 else 2
    return f"{median:.{digits}f} +- {max(spread * 100, 0):.0f}%"


def _change(row: NativeRow) -> str:
    found = row.comparison
    size = "~" if found.verdict == "~" else f"{100 * found.change:+.2f}%"
    return f"{size} (p={found.p:.3f} n={found.after.n})"


def _left_out(todo: Iterable[Case]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in todo:
        for proposal, why in case.left_out.items():
            reasons.setdefault((proposal, _short(why)), []).append(case.program)
    lines = [""] if reasons else []
    for (proposal, why), programs in reasons.items():
        lines += wrap(f"left out {proposal} ({', '.join(programs)}): {why}")
    return lines


def _short(why: str) -> str:
    """A reason without the path it begins with."""
    head, _, rest = why.partition(": ")
    return rest if "/" in head and rest else why


def _trust(found: Trust) -> list[str]:
    lines = ["", "How far to trust this"]
    for program, different in found.alike.items():
        lines += wrap(f" A/A {program}: {different} of {found.runs} runs of two copies called different")
    total, runs = sum(found.alike.values()), found.runs * len(found.alike)
    lines += wrap(f" A/A in all: {total} of {runs} ({100 * total / runs:.1f}%)" if runs else " A/A: not run")
    share = 100 * found.agreed / found.pairs if found.pairs else 100.0
    lines += wrap(f" A/B: {found.agreed} of {count(found.pairs, 'verdict')} the same in two runs ({share:.1f}%)")
    for program, proposal, one, two in found.changed:
        lines += wrap(f"  {program}, {proposal}: {one} then {two}")
    return lines


def where(processor: int | None, why_no_counters: str) -> list[str]:
    """What the reader has to know of the machine."""
    pinned = f"pinned to processor {processor}" if processor is not None else "not pinned: the system does not allow it"
    lines = [f"machine: {platform.machine()}, {pinned}"]
    if why_no_counters:
        lines.append(f"no hardware counters: {why_no_counters}")
    other = {"x86_64": "arm64", "aarch64": "x86-64"}.get(platform.machine())
    return [*lines, f"{other}: no native time on this machine; instructions only"]


def to_json(
    rows: Sequence[NativeRow], todo: Sequence[Case], said: Sequence[str], trusted: Trust | None
) -> dict[str, Any]:
    """Everything, all samples included."""
    return {
        "rows": [asdict(row) | {"verdict": row.comparison.verdict} for row in rows],
        "left_out": {case.program: case.left_out for case in todo},
        "remarks": list(said),
        "trust": asdict(trusted) if trusted else None,
        "alpha": ALPHA,
    }
