"""What every check looks at: the image before, the image after, and the map between them, looked up quickly."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from lab.arch import Arch
from lab.images.image import Image
from lab.layout import Carried, InsertedRange, Region, RewriteMap
from rewriters.sites import Ranges
from rewriters.verify.facts import Fact, Reading

#: Regions of old addresses, and regions of new ones.
IN_OLD_TEXT = frozenset({Region.INSERTED, Region.DEAD})
IN_NEW_TEXT = frozenset({Region.TRAMPOLINE, Region.MOVED})


class Pieces:
    """Inserted ranges by address."""

    def __init__(self, pieces: Iterable[InsertedRange]) -> None:
        self.pieces = sorted(pieces, key=lambda piece: piece.start)
        self._starts = [piece.start for piece in self.pieces]

    def at(self, address: int) -> InsertedRange | None:
        """The range that holds *address*."""
        index = bisect.bisect_right(self._starts, address) - 1
        found = self.pieces[index] if index >= 0 else None
        return found if found is not None and address < found.end else None


class Places:
    """Which original instruction executes where."""

    def __init__(self, carried: Iterable[Carried]) -> None:
        self.by_old = sorted(carried, key=lambda piece: piece.old)
        self.by_new = sorted(carried, key=lambda piece: piece.new)
        self._olds = [piece.old for piece in self.by_old]
        self._news = [piece.new for piece in self.by_new]

    def holding(self, new: int) -> Carried | None:
        """The carried piece whose new bytes hold *new*."""
        index = bisect.bisect_right(self._news, new) - 1
        found = self.by_new[index] if index >= 0 else None
        return found if found is not None and new < found.new + found.new_size else None

    def before(self, new: int) -> Carried | None:
        """The last carried piece that begins before *new*."""
        index = bisect.bisect_left(self._news, new) - 1
        return self.by_new[index] if index >= 0 else None

    def carrying(self, old: int) -> Carried | None:
        """The carried piece whose old bytes hold *old*."""
        index = bisect.bisect_right(self._olds, old) - 1
        found = self.by_old[index] if index >= 0 else None
        return found if found is not None and old < found.old + found.old_size else None


@dataclass(frozen=True)
class Pair:
    """The two images and the map, with what the checks share, worked out once."""

    old: Image
    new: Image
    map: RewriteMap

    @property
    def arch(self) -> Arch:
        return self.old.arch

    @cached_property
    def pieces(self) -> Pieces:
        """Every inserted range."""
        return Pieces(self.map.inserted)

    @cached_property
    def places(self) -> Places:
        """Carried code both ways."""
        return Places(self.map.carried)

    @cached_property
    def gone(self) -> Ranges:
        """Old addresses at which the original code no longer stands."""
        return Ranges((p.start, p.end) for p in self.map.inserted if p.region in IN_OLD_TEXT)

    @cached_property
    def reading(self) -> Reading:
        """The old code, instruction by instruction."""
        return Reading(self.old)

    @cached_property
    def renamed(self) -> dict[int, list[int]]:
        """Old address -> new addresses that the map says are named instead."""
        found: dict[int, list[int]] = {}
        for entry in self.map.patched:
            found.setdefault(entry.old, []).append(entry.new)
        return found

    def old_fact(self, address: int) -> Fact | None:
        """The original instruction at *address*; None where none begins."""
        return self.reading.at(address)

    @cached_property
    def changed(self) -> dict[int, tuple[int, int] | None]:
        """Every original instruction that no longer stands where it stood: old address -> [start, end) of its new
        bytes; None: it no longer exists."""
        found: dict[int, tuple[int, int] | None] = {}
        for piece in self.map.inserted:
            if piece.region in IN_OLD_TEXT and self.inside(piece.start, piece.end):
                found |= dict.fromkeys(range(piece.start, piece.end, self.arch.insn_align))
        for carried in self.map.carried:
            at, end = carried.old, carried.old + carried.old_size
            while at < end and (fact := self.old_fact(at)) is not None:
                start = carried.new + at - carried.old
                whole = at == carried.old and fact.end == end
                found[at] = (start, start + (carried.new_size if whole else fact.size))
                at = fact.end
        return found

    def inside(self, start: int, end: int) -> bool:
        """Whether one segment of the old image holds [start, end): a map may say anything."""
        return any(s.address <= start and end <= s.end for s in self.old.segments)

    def place(self, old: int) -> tuple[int, int] | None:
        """[start, end) of the new bytes of the original instruction at *old*: carried, or where it always was; None
        where it no longer exists."""
        if old in self.changed:
            return self.changed[old]
        fact = self.old_fact(old)
        return None if fact is None else (old, fact.end)

    def within(self, address: int) -> str:
        """*address*, for a message: the function it is in or serves, and how far."""
        piece = self.pieces.at(address)
        if piece is not None and piece.region in IN_NEW_TEXT:
            return f"{address:#x} ({piece.function or 'entry stub'}, {piece.region.value})"
        return self.old.locate(address)


def verbatim(piece: Carried) -> bool:
    """Whether *piece* says that the bytes are the same (they have still to be compared)."""
    return piece.old_size == piece.new_size
