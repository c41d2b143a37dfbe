"""What the native engine is meant to keep, and whether it did: findings of a measurement, not a gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.bench.configurations import NATIVE, PYTHON
from lab.bench.measure import Row
from lab.bench.subjects import EIGHT, JUDGED

CALL_HEAVY = ("recursion", "callbacks", "calls", "depth-10", "depth-1000")
MOST_X_BARE = {"aarch64": 4.0, "x86_64": 4.5}
MOST_X_BARE_EIGHT = 8.0
DEPTHS = ("depth-1000", "depth-10")
MOST_APART = 0.15
LEAST_X_PYTHON = 100.0
MOST_START_S = 2.0


@dataclass(frozen=True)
class Finding:
    """One limit on one architecture and workload: ``value`` was found, ``limit`` is how much it may, or must, be.

    ``name``: ``x_bare`` at most, with JUDGED, and ``x_bare_eight`` with EIGHT; ``depth``, cost at depth 1000 relative
    to that at depth 10, at most that far from 1; ``x_python``, speed relative to the walk in plain Python, at least;
    ``start_s``, seconds at most.
    """

    name: str
    arch: str
    workload: str
    value: float
    limit: float
    holds: bool


def findings(rows: Sequence[Row], start_s: float) -> list[Finding]:
    """Every limit that *rows* and *start_s* (seconds) tell something about."""
    judged = {(r.arch, r.workload): r for r in rows if r.engine == NATIVE and r.unwinders == JUDGED}
    python = {(r.arch, r.workload): r for r in rows if r.engine == PYTHON}
    heavy = {key: row for key, row in judged.items() if row.workload in CALL_HEAVY}
    found = [_at_most("x_bare", row, row.x_bare, MOST_X_BARE[row.arch]) for row in heavy.values()]
    eight = [row for row in rows if row.engine == NATIVE and row.unwinders == EIGHT[row.arch]]
    found += [_at_most("x_bare_eight", r, r.x_bare, MOST_X_BARE_EIGHT) for r in eight if r.workload in CALL_HEAVY]
    found += _depth(judged)
    for key, row in heavy.items():
        value = row.insn_per_s / python[key].insn_per_s
        found.append(Finding("x_python", *key, value, LEAST_X_PYTHON, value >= LEAST_X_PYTHON))
    return [*found, Finding("start_s", "", "", start_s, MOST_START_S, start_s <= MOST_START_S)]


def _at_most(name: str, row: Row, value: float, limit: float) -> Finding:
    return Finding(name, row.arch, row.workload, value, limit, value <= limit)


def _depth(judged: dict[tuple[str, str], Row]) -> Iterator[Finding]:
    """By ``x_bare``: each is a ratio within a repetition, and so the two compare although time passed between them."""
    for arch in dict.fromkeys(arch for arch, _ in judged):
        deep, shallow = (judged.get((arch, workload)) for workload in DEPTHS)
        if deep is not None and shallow is not None:
            value = deep.x_bare / shallow.x_bare
            yield Finding("depth", arch, deep.workload, value, MOST_APART, abs(value - 1) <= MOST_APART)
