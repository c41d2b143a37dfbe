"""Two runs of a respin: what got better, worse, is new or gone, pc by pc.

Where both runs measured the same image (sha256) a pc is a pc.  Where the code differs, instructions of the same
function are paired by what they read like, in their order (the longest matching runs, difflib); where an older run
kept no instructions, by their offset in the function.  What has no partner is new or gone.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lab.report.strip import LETTERS
from lab.store.document import Run
from lab.store.rows import Cell, CellKey, RunResult, cell_key

KINDS = ("worse", "better", "new", "gone", "counts")
"""``counts``: the same worst verdict, of another number of stops."""
_RANK = {verdict: rank for rank, verdict in enumerate(LETTERS)}
_ADDRESS = re.compile(r"0x[0-9a-f]{4,}")

ImageKey = tuple[str, str, str, str]
"""(arch, compiler, workload, proposal)."""
Place = tuple[int, str, str]
"""(pc, location, function)."""


@dataclass(frozen=True)
class Change:
    """One pc of one cell.  ``before`` and ``after``: stops by verdict, worst verdict first; empty where there is no
    stop.  ``locations``: in the first run and in the second, "" where there is none."""

    kind: str
    cell: CellKey
    locations: tuple[str, str]
    pcs: tuple[int | None, int | None]
    before: dict[str, int]
    after: dict[str, int]


@dataclass(frozen=True)
class Respin:
    """What differs.  ``same`` cells agree at every pc; ``gone`` and ``new`` cells ran in one of the runs only.
    ``aligned``: images whose code differs, with how their instructions were paired."""

    changes: tuple[Change, ...]
    same: int
    gone: tuple[CellKey, ...]
    new: tuple[CellKey, ...]
    aligned: dict[ImageKey, str]


def respin(before: Run, after: Run) -> Respin:
    """Compare the cells that ran in both, in the order of *after*."""
    old, new = _cells(before.result), _cells(after.result)
    both = [key for key in new if key in old]
    rows = [_by_cell(run.result, set(both)) for run in (before, after)]
    pairing = _Pairing(before.result, after.result)
    changes: list[Change] = []
    same = 0
    for key in both:
        found = list(_changes(key, rows[0].get(key, {}), rows[1].get(key, {}), pairing))
        changes += found
        same += not found
    return Respin(
        tuple(changes), same, tuple(k for k in old if k not in new), tuple(k for k in new if k not in old),
        {key: pairing.how[key] for key in sorted(pairing.how) if pairing.how[key]},
    )  # fmt: skip


def _cells(found: RunResult) -> dict[CellKey, Cell]:
    return {cell.key: cell for cell in found.cells if cell.unsupported is None}


def _by_cell(found: RunResult, wanted: set[CellKey]) -> dict[CellKey, dict[Place, dict[str, int]]]:
    """Stops by verdict of every pc of the *wanted* cells."""
    cells: dict[CellKey, dict[Place, dict[str, int]]] = defaultdict(dict)
    for row in found.verdicts:
        if (key := cell_key(row)) in wanted:
            counts = cells[key].setdefault((row.pc, row.location, row.function), {})
            counts[row.verdict] = counts.get(row.verdict, 0) + row.stops
    return cells


def _changes(
    key: CellKey, old: Mapping[Place, dict[str, int]], new: Mapping[Place, dict[str, int]], pairing: _Pairing
) -> Iterator[Change]:
    for a, b in pairing.pairs(key[:4], old, new):
        before, after = _worst_first(old[a] if a else {}), _worst_first(new[b] if b else {})
        kind = _kind(before, after)
        if kind:
            locations = (a[1] if a else "", b[1] if b else "")
            yield Change(kind, key, locations, (a[0] if a else None, b[0] if b else None), before, after)


def _worst_first(counts: Mapping[str, int]) -> dict[str, int]:
    return {verdict: counts[verdict] for verdict in LETTERS if counts.get(verdict)}


def _kind(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    if before == after:
        return ""
    if not before or not after:
        return "gone" if before else "new"
    worst, now = next(iter(before)), next(iter(after))
    if worst == now:
        return "counts"
    return "worse" if _RANK[now] < _RANK[worst] else "better"


class _Pairing:
    """Which stop of one run is which of the other."""

    def __init__(self, old: RunResult, new: RunResult) -> None:
        self._hashes = [{_image(row): row.sha256 for row in found.images} for found in (old, new)]
        self._code: list[dict[ImageKey, dict[int, str]]] = [defaultdict(dict), defaultdict(dict)]
        for code, found in zip(self._code, (old, new), strict=True):
            for row in found.code:
                code[_image(row)][row.pc] = _ADDRESS.sub("@", row.text)
        self.how: dict[ImageKey, str] = {}
        """"" where both are one image."""

    def pairs(
        self, image: ImageKey, old: Iterable[Place], new: Iterable[Place]
    ) -> Iterator[tuple[Place | None, Place | None]]:
        """Every place of both, paired where it has a partner; by function, in the order of addresses."""
        before, after = _by_function(old), _by_function(new)
        for function in dict.fromkeys([*after, *before]):
            a, b = before.get(function, []), after.get(function, [])
            yield from self._partners(image, a, b)

    def _partners(self, image: ImageKey, a: list[Place], b: list[Place]) -> Iterator[tuple[Place | None, Place | None]]:
        names = self._names(image)
        keys = [[name(place) for place in places] for name, places in zip(names, (a, b), strict=True)]
        blocks = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_matching_blocks()
        at, to = 0, 0
        for block in blocks:
            yield from ((place, None) for place in a[at : block.a])
            yield from ((None, place) for place in b[to : block.b])
            at, to = block.a + block.size, block.b + block.size
            yield from zip(a[block.a : at], b[block.b : to], strict=True)

    def _names(self, image: ImageKey) -> tuple[_Name, _Name]:
        """What a place is called in each run, so that partners have the same name."""
        hashes = [known.get(image) for known in self._hashes]
        codes = [known.get(image) for known in self._code]
        if hashes[0] == hashes[1]:
            self.how.setdefault(image, "")
            return _Name(None), _Name(None)
        self.how.setdefault(image, "instructions" if all(codes) else "offsets")
        return (_Name(codes[0]), _Name(codes[1])) if all(codes) else (_Name(None), _Name(None))


class _Name:
    """A place by its instruction's text where that is known, else by its location."""

    def __init__(self, code: Mapping[int, str] | None) -> None:
        self._code = code

    def __call__(self, place: Place) -> str:
        return place[1] if self._code is None else self._code.get(place[0], place[1])


def _image(row: object) -> ImageKey:
    return tuple(getattr(row, name) for name in ("arch", "compiler", "workload", "proposal"))


def _by_function(places: Iterable[Place]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = defaultdict(list)
    for place in sorted(places):
        found[place[2]].append(place)
    return found
