"""Layout rows: in order, over all code, and each saying where the walk found the return address to be."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from itertools import pairwise

from lab.layout import LayoutRow, Where
from rewriters.pairing import OUTERMOST_IN_KERNEL
from rewriters.sites import Ranges
from rewriters.verify.pair import Pair
from rewriters.verify.pairs import Walk
from rewriters.verify.state import State, popped
from rewriters.verify.units import Unit, What


def check_cover(pair: Pair) -> Iterator[str]:
    """The layout's rows are in order, disjoint, and cover all executable code."""
    rows = pair.map.layout.rows
    for left, right in pairwise(rows):
        if left.end > right.start or left.start >= left.end:
            yield f"layout rows overlap or are empty at {right.start:#x}"
    for row in rows:
        if (row.where is Where.UNKNOWN) != bool(row.reason):
            yield f"layout row at {row.start:#x}: a reason belongs to 'unknown' and only there"
    covered = Ranges((row.start, row.end) for row in rows)
    wanted = [(s.address, s.address + s.size) for s in pair.old.sections if s.executable and s.size]
    wanted += [(p.start, p.end) for p in pair.map.inserted]
    for start, end in wanted:
        if not covered.covers(start, end):
            yield f"layout rows do not cover {start:#x}..{end:#x}"


def check_rows(walk: Walk) -> Iterator[str]:
    """Each row over code the walk reached agrees with it.  "Unknown" claims nothing."""
    judge = _Judge(walk)
    for old, state in walk.before.items():
        place = walk.pair.place(old)
        if place is not None:
            yield from judge.check(place[0], state, 0)
    for start, state in walk.passed.items():
        unit = walk.ways.units.by_start[start]
        if unit.what is not What.STUB:
            yield from judge.unit(unit, state)


class _Judge:
    def __init__(self, walk: Walk) -> None:
        self.walk, self.pair, self.arch = walk, walk.pair, walk.arch
        self.rows = walk.pair.map.layout.rows
        self._starts = [row.start for row in self.rows]
        self.outermost = self.pair.old.function_at(self.pair.old.entry)

    def unit(self, unit: Unit, state: State) -> Iterator[str]:
        """Every instruction of a sequence, or a unit of another kind."""
        if not unit.pieces:
            yield from self.check(unit.start, state, 0)
        after = state._replace(pushed=True) if unit.what is What.PUSH else popped(state)
        for piece in unit.pieces:
            yield from self.check(piece.address, after if piece.flipped else state, piece.pushed)

    def check(self, at: int, state: State, pushed: int) -> Iterator[str]:
        """The row at new address *at*, where *state* holds and *pushed* bytes of ours are on the stack."""
        index = bisect.bisect_right(self._starts, at) - 1
        row = self.rows[index] if index >= 0 else None
        if row is None or at >= row.end or row.where is Where.UNKNOWN:
            return  # check_cover's business
        said = row.where.value + (f" at SP + {row.offset}" if row.where is Where.STACK else "")
        wanted = self._wanted(row, state, pushed)
        if wanted:
            yield f"the layout says '{said}' at {self.pair.within(at)}: {wanted}"

    def _wanted(self, row: LayoutRow, state: State, pushed: int) -> str:
        """What is wrong with *row* ("" = nothing)."""
        if row.where is Where.OUTERMOST:
            home = self.pair.old.function_at(row.start)
            begins = home is not None and home.name in OUTERMOST_IN_KERNEL
            fine = begins or (self.outermost is not None and self.outermost.start <= row.start < self.outermost.end)
            return "" if fine else "this code is called"
        if row.where is Where.SHADOW:
            maybe = state.pushed is None and self.walk.silent
            return "" if state.pushed or maybe else "nothing is pushed there on every path"
        if state.pushed is not False:
            # Where a pop does nothing, where it would be is nothing the code can tell.
            return "" if self.walk.silent else "the return address is on the shadow stack there"
        if row.where is Where.LR:
            return "" if state.lr else "the link register has been written"
        if state.sp is None:
            return "the stack pointer is not known there"
        wanted = pushed - state.sp
        return "" if row.offset == wanted else f"it is at SP + {wanted}"
