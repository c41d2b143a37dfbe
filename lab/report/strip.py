"""The worst function of a group as a strip: one letter per instruction and unwinder, one stack in full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from lab.report.sums import Group
from lab.report.text import WIDTH, clean, wrap
from lab.store.rows import RunResult, StackRow, VerdictRow

LETTERS = {"crash": "C", "missing": "M", "extra": "E", "refused": "r", "exact": "."}
"""Worst first: where one pc got several verdicts, the worst is shown."""
OUT_OF_LINE = frozenset({"trampoline"})
"""Code that serves a function but lies elsewhere: it has no place in the function's strip."""
LABEL = 14

Place = tuple[str, str, str, str, str, str]
"""(arch, compiler, mode, workload, proposal, function)."""


def strips(found: RunResult) -> dict[Group, list[str]]:
    """The strip of every group that has a missing stack: its function with the most such stops."""
    missing: dict[Place, int] = defaultdict(int)
    for row in found.verdicts:
        if row.verdict == "missing" and row.region not in OUT_OF_LINE:
            missing[_place(row)] += row.stops
    worst: dict[Group, Place] = {}
    for place, _ in sorted(missing.items(), key=lambda item: (-item[1], item[0])):
        worst.setdefault(place[:3], place)
    rows: dict[Place, list[VerdictRow]] = {place: [] for place in worst.values()}
    for row in found.verdicts:
        if row.region not in OUT_OF_LINE and (place := _place(row)) in rows:
            rows[place].append(row)
    order = list(dict.fromkeys(cell.unwinder for cell in found.cells))
    return {group: strip(place, rows[place], found.stacks, order) for group, place in worst.items()}


def strip(
    place: Place,
    rows: Sequence[VerdictRow],
    stacks: Iterable[StackRow],
    order: Sequence[str],
    *,
    title: str | None = None,
    whole: bool = False,
    code: Mapping[int, str] | None = None,
) -> list[str]:
    """The strip of one function from its verdict rows, and the first differing stack kept there.

    *order* is the order of the unwinders.  Instructions around the first MISSING one; with *whole* all of them, in as
    many strips as that takes.  *code*: what the instruction at a pc reads like.
    """
    letters: dict[str, dict[int, str]] = defaultdict(dict)
    worst_first = list(LETTERS)
    for row in sorted(rows, key=lambda row: -worst_first.index(row.verdict)):
        letters[row.unwinder][row.pc] = LETTERS[row.verdict]
    pcs = sorted({row.pc for row in rows})
    bad = min((row.pc for row in rows if row.verdict == "missing"), default=pcs[0])
    start = min(row.pc - _offset(row.location) for row in rows)
    digits = max(2, len(f"{pcs[-1] - start:x}"))
    most = (WIDTH - LABEL) // (digits + 1)
    windows = [pcs[i : i + most] for i in range(0, len(pcs), most)] if whole else [_window(pcs, pcs.index(bad), most)]
    lines = wrap(title or f"worst function: {place[5]} in {place[3]}, {place[4]}")
    lines.append("  M MISSING  E extra  C crash  r refused  . exact")
    for window in windows:
        lines += _letters(window, start, digits, letters, order)
    return lines + _stack(place, stacks, code or {})


def _letters(
    window: Sequence[int], start: int, digits: int, letters: Mapping[str, Mapping[int, str]], order: Sequence[str]
) -> list[str]:
    """Offsets from *start*, and below them a letter per unwinder."""
    lines = ["  insn".ljust(LABEL) + "".join(f" {pc - start:0{digits}x}" for pc in window)]
    for unwinder in (name for name in order if name in letters):
        at = letters[unwinder]
        label = f"  {clean(unwinder)}"
        if len(label) > LABEL:
            lines += wrap(label)
            label = ""
        lines.append(label.ljust(LABEL) + "".join(at.get(pc, "").rjust(digits + 1) for pc in window))
    return lines


def _stack(place: Place, stacks: Iterable[StackRow], code: Mapping[int, str]) -> list[str]:
    """A kept stack of this function, else (only the first few are kept) one of the same image."""
    kept = [
        row
        for row in stacks
        if row.verdict == "missing" and (row.arch, row.compiler, row.mode, row.workload, row.proposal) == place[:5]
    ]
    if not kept:
        return []
    row = next((row for row in kept if _function(row.location) == place[5]), kept[0])
    lost = [name for name in row.truth_text if name not in row.reported_text]
    note = f"   ({', '.join(lost[:3])} lost)" if lost else ""
    elsewhere = "" if _function(row.location) == place[5] else "elsewhere in this image, "
    return [
        *wrap(f"{elsewhere}at {row.location}, {row.unwinder}{f':  {code[row.pc]}' if row.pc in code else ''}"),
        *wrap(f"  true      {_chain(row.truth_text)}", 12),
        *wrap(f"  reported  {_chain(row.reported_text)}{note}", 12),
    ]


def _chain(names: Sequence[str], most: int = 8) -> str:
    shown = list(names[:most]) + ([f"... {len(names) - most} more"] if len(names) > most else [])
    return " <- ".join(shown) or "(nothing)"


def _place(row: VerdictRow) -> Place:
    return (row.arch, row.compiler, row.mode, row.workload, row.proposal, row.function)


def _function(location: str) -> str:
    return location.rpartition("+")[0] or location


def _offset(location: str) -> int:
    """The 0x1c of ``func+0x1c``; 0 if the location has no offset."""
    try:
        return int(location.rpartition("+")[2], 16)
    except ValueError:
        return 0


def _window(pcs: Sequence[int], centre: int, most: int) -> Sequence[int]:
    """At most *most* of *pcs*, the one at index *centre* among them, in the middle where possible."""
    first = max(0, min(centre - most // 2, len(pcs) - most))
    return pcs[first : first + most]
