"""What the explorer's script is given: the rows of a run as columns, every text once, every outcome once.

Addresses go as hexadecimal text, or as distances from one, because JavaScript's numbers hold 53 bits.  The comments of
``explorer_model.js`` say how it is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from lab.store.document import Run
from lab.store.rows import Cell, CodeRow, StackRow, VerdictRow

MOST_CELLS = 4_000_000
"""(pc, unwinder, mode) shown in one page: what a browser still opens in some seconds."""

Key = tuple[str, str, str, str]
"""(arch, compiler, workload, proposal): one image."""


def page_data(run: Run, most: int = MOST_CELLS, each: int | None = None) -> dict[str, Any]:
    """The data of *run*'s page; *each*: stops kept of every function, where they are not those the run kept.

    Images beyond *most* cells are left out, those without a wrong verdict first; ``left_out`` names them."""
    found = run.result
    rows, stacks, code = _by_image(found.verdicts), _by_image(found.stacks), _by_image(found.code)
    shown, left_out = _chosen(found.cells, rows, most)
    table = _Table(found.cells)
    images = [_image(key, rows[key], code.get(key, ()), stacks.get(key, ()), table) for key in shown]
    return {
        "run": {"id": run.run_id, "kept": found.experiment.stacks, "each": each},
        "images": images,
        "strings": list(table.strings),
        "kinds": [list(kind) for kind in table.kinds],
        "mixed": [[list(part) for part in parts] for parts in table.mixed],
        "left_out": [" ".join(key) for key in left_out],
    }


class _Table:
    """Texts and outcomes, each once, named by their number; and the run's order of modes and unwinders."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.modes, self.unwinders = _order(c.mode for c in cells), _order(c.unwinder for c in cells)
        self.strings: dict[str, int] = {}
        self.kinds: dict[tuple[str, str, str, bool], int] = {}
        self.mixed: dict[tuple[tuple[int, int], ...], int] = {}

    def text(self, text: str) -> int:
        return self.strings.setdefault(text, len(self.strings))

    def outcome(self, counts: dict[tuple[str, str, str, bool], int]) -> int:
        """The kind of all stops of a cell; where they differ, -1 - the number of their kinds with their stops."""
        parts = [(self.kinds.setdefault(kind, len(self.kinds)), stops) for kind, stops in counts.items()]
        if len(parts) == 1:
            return parts[0][0]
        mixed = tuple(sorted(parts, key=lambda part: (-part[1], part[0])))
        return -1 - self.mixed.setdefault(mixed, len(self.mixed))


def _by_image(rows: Iterable[Any]) -> dict[Key, list[Any]]:
    found: dict[Key, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.arch, row.compiler, row.workload, row.proposal].append(row)
    return found


def _order(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _chosen(cells: Sequence[Cell], rows: dict[Key, list[VerdictRow]], most: int) -> tuple[list[Key], list[Key]]:
    """(the images shown, those left out), in the run's order."""
    sizes: dict[Key, int] = {}
    wrong: set[Key] = set()
    for cell in cells:
        key = cell.key[:4]
        if rows.get(key):
            sizes[key] = sizes.get(key, 0) + cell.pcs
            if any(cell.verdicts[verdict] for verdict in ("missing", "extra", "crash")):
                wrong.add(key)
    taken, room = set(), most
    for key in [*(k for k in sizes if k in wrong), *(k for k in sizes if k not in wrong)]:
        if sizes[key] <= room:
            taken.add(key)
            room -= sizes[key]
    return [key for key in sizes if key in taken], [key for key in sizes if key not in taken]


def _image(
    key: Key,
    rows: Sequence[VerdictRow],
    code: Sequence[CodeRow],
    stacks: Sequence[StackRow],
    table: _Table,
) -> dict[str, Any]:
    instructions = {row.pc: row for row in code}
    pcs = sorted({row.pc for row in rows} | {row.pc for row in stacks})
    number = {pc: i for i, pc in enumerate(pcs)}
    by_mode: dict[str, list[VerdictRow]] = defaultdict(list)
    for row in rows:
        by_mode[row.mode].append(row)
    blank = table.text("")
    columns: dict[str, list[int]] = {"raw": [], "text": [], "source": []}
    for pc in pcs if instructions else ():
        found = instructions.get(pc)
        for name, column in columns.items():
            column.append(table.text(getattr(found, name)) if found else blank)
    return {
        **dict(zip(("arch", "compiler", "workload", "proposal"), key, strict=True)),
        "base": f"{pcs[0]:x}",
        "pcs": [pc - pcs[0] for pc in pcs],
        **columns,
        "modes": [_mode(mode, by_mode[mode], number, table) for mode in table.modes if mode in by_mode],
        "stacks": [_kept(members, number) for members in _same_stop(stacks)],
    }


def _mode(mode: str, rows: Sequence[VerdictRow], number: dict[int, int], table: _Table) -> dict[str, Any]:
    """One column an unwinder; ``at``: the numbers of the pcs.  All unwinders saw the same stops."""
    unwinders = sorted({row.unwinder for row in rows}, key=lambda name: table.unwinders.get(name, len(table.unwinders)))
    counts: dict[tuple[int, str], dict[tuple[str, str, str, bool], int]] = defaultdict(dict)
    first: dict[int, VerdictRow] = {}
    for row in rows:
        first.setdefault(row.pc, row)
        own = counts[row.pc, row.unwinder]
        kind = (row.verdict, row.reason, row.doubt, row.covers)
        own[kind] = own.get(kind, 0) + row.stops
    pcs = sorted(first)
    stops = [max(sum(counts[pc, name].values()) for name in unwinders if (pc, name) in counts) for pc in pcs]
    functions = _order(first[pc].function for pc in pcs)
    return {
        "mode": mode,
        "unwinders": unwinders,
        "functions": list(functions),
        "at": [number[pc] for pc in pcs],
        "fn": [functions[first[pc].function] for pc in pcs],
        "where": [table.text(first[pc].location.removeprefix(first[pc].function)) for pc in pcs],
        "region": [table.text(first[pc].region) for pc in pcs],
        "stops": stops,
        "cells": [
            [table.outcome(counts[pc, name]) if (pc, name) in counts else None for pc in pcs] for name in unwinders
        ],
    }


def _same_stop(stacks: Sequence[StackRow]) -> list[list[StackRow]]:
    found: dict[tuple[str, int], list[StackRow]] = defaultdict(list)
    for row in stacks:
        found[row.mode, row.stop].append(row)
    return [found[key] for key in sorted(found)]


def _kept(rows: Sequence[StackRow], number: dict[int, int]) -> dict[str, Any]:
    """One stop: what it was like, and what each unwinder that differs said.  A frame is [address, place]."""
    row = rows[0]
    return {
        "mode": row.mode,
        "stop": row.stop,
        "at": number[row.pc],
        "truth": _frames(row.truth, row.truth_text),
        "registers": [[name, f"{value:x}"] for name, value in row.registers.items()],
        "words_at": f"{row.words_at:x}",
        "words": [f"{word:x}" for word in row.words],
        "said": [
            {"unwinder": said.unwinder, "verdict": said.verdict, "reason": said.reason,
             "reported": _frames(said.reported, said.reported_text)}
            for said in rows
        ],
    }  # fmt: skip


def _frames(addresses: Sequence[int], texts: Sequence[str]) -> list[list[str]]:
    return [[f"{address:x}", text] for address, text in zip(addresses, texts, strict=True)]
