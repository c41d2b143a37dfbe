"""Two runs of the same experiment, count by count.  Time is no count: wall_s is ignored."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.store.document import Run
from lab.store.rows import CellKey, VerdictRow, cell_key, sort_key

NOT_A_COUNT = frozenset({"wall_s"})


@dataclass(frozen=True)
class Difference:
    """One thing that differs: ``where`` names the cell, cost or image, ``what`` the field."""

    where: str
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.before} then, {self.after} now"


def compare(before: Run, after: Run) -> list[Difference]:
    """What differs between two runs, in a stable order; an empty list means identical counts.

    Compared: every field of every cell, every verdict row (pc by pc), costs, and images' sha256.
    """
    old, new = before.result, after.result
    found = _fields({c.key: c for c in old.cells}, {c.key: c for c in new.cells})
    found += _verdict_rows(_by_cell(old.verdicts), _by_cell(new.verdicts), {d.where for d in found})
    found += _fields({_name(r): r for r in old.costs}, {_name(r): r for r in new.costs}, "cost of ")
    images = _fields({_name(i): i for i in old.images}, {_name(i): i for i in new.images}, "image ")
    return found + [difference for difference in images if difference.what in {"sha256", "present"}]


def _name(row: Any) -> tuple[str, ...]:
    return (row.arch, row.compiler, row.workload, row.proposal)


def _fields(old: dict[Any, Any], new: dict[Any, Any], kind: str = "") -> list[Difference]:
    found = []
    for key in sorted({*old, *new}):
        where = kind + "/".join(key)
        if key not in old or key not in new:
            found.append(Difference(where, "present", _yes(key in old), _yes(key in new)))
            continue
        for item in dataclasses.fields(old[key]):
            before, after = getattr(old[key], item.name), getattr(new[key], item.name)
            unkept = bool(kind) and before is None  # a column of costs that the older run did not have
            if before != after and item.name not in NOT_A_COUNT and not unkept:
                found.append(Difference(where, item.name, _short(before, after), _short(after, before)))
    return found


def _by_cell(rows: Iterable[VerdictRow]) -> dict[CellKey, set[VerdictRow]]:
    cells: dict[CellKey, set[VerdictRow]] = defaultdict(set)
    for row in rows:
        cells[cell_key(row)].add(row)
    return cells


def _verdict_rows(
    old: dict[CellKey, set[VerdictRow]], new: dict[CellKey, set[VerdictRow]], known: set[str]
) -> list[Difference]:
    """Cells whose totals agree but whose pcs do not: the first differing pc of each."""
    found = []
    for key in sorted({*old, *new}):
        where = "/".join(key)
        before, after = old.get(key, set()), new.get(key, set())
        if before == after or where in known:
            continue
        first = min(before ^ after, key=sort_key)
        what = f"verdicts at {first.location} (pc {first.pc:#x})"
        found.append(Difference(where, what, _at(first.pc, before), _at(first.pc, after)))
    return found


def _at(pc: int, rows: set[VerdictRow]) -> str:
    here = sorted((row for row in rows if row.pc == pc), key=sort_key)
    return (
        ", ".join(f"{row.stops} {row.verdict}" + (f" ({row.reason})" if row.reason else "") for row in here) or "none"
    )


def _short(value: object, other: object) -> str:
    """*value*; of a dict only what differs from *other*."""
    if isinstance(value, dict) and isinstance(other, dict):
        missing = object()
        parts = [f"{k} {v}" for k, v in value.items() if other.get(k, missing) != v]
        return ", ".join(parts) or "nothing"
    return repr(value) if isinstance(value, str) else str(value)


def _yes(present: bool) -> str:
    return "there" if present else "absent"
