"""Functions that nothing else in the census may be believed about: setjmp, longjmp, clone.

They are looked for in code no function covers as well (hand-written code without size or unwind information): there a
piece reaches from a symbol, or a place that is called, to the next.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from lab.images.image import Function, Image
from rewriters.census.body import JumpShape
from rewriters.census.clones import shares_memory
from rewriters.census.entries import entry_index
from rewriters.census.jumps import jump_shape
from rewriters.census.links import Owners
from rewriters.census.origins import Origins
from rewriters.census.scan import NOWHERE, Flow, Scan
from rewriters.census.unit import Place, Unit

#: Stores of callee-saved registers at the first argument from which a function may be a setjmp.
_FEWEST_SAVES = 4
#: Instructions of a function, or a piece of code no function covers, that is looked at.
_LONGEST = 200


@dataclass
class Special:
    """``jumps`` by start; ``clones``: start -> (name, address of the system call)."""

    jumps: dict[int, JumpShape] = field(default_factory=dict)
    clones: dict[int, tuple[str, int]] = field(default_factory=dict)


def find_special(image: Image, scan: Scan, owners: Owners, noreturn: frozenset[int]) -> Special:
    """All of *image*; calls of *noreturn* do not come back."""
    found = Special()
    homes = _Homes(image, scan, owners)
    for place, count in homes.of(scan.saves).items():
        if count >= _FEWEST_SAVES and place.high - place.low <= _LONGEST:
            shape = jump_shape(_origins(image, scan, place, noreturn), scan, place)
            if shape is not None:
                found.jumps[place.function.start] = shape
    for place in homes.of(scan.numbers):
        origins = _origins(image, scan, place, noreturn)
        for index in scan.syscalls:
            if place.low <= index < place.high and shares_memory(origins, scan, index):
                found.clones.setdefault(place.function.start, (place.function.name, scan.addresses[index]))
    return found


def _origins(image: Image, scan: Scan, place: Place, noreturn: frozenset[int]) -> Origins:
    return Origins(image, Unit(scan, (place,), noreturn=noreturn))


class _Homes:
    """The function or piece that holds an instruction."""

    def __init__(self, image: Image, scan: Scan, owners: Owners) -> None:
        self.image, self.scan, self.owners = image, scan, owners
        called = scan.target[(scan.flow == Flow.CALL) & (scan.target >= 0)]
        named = np.array(sorted(image.symbols.values()), dtype=np.uint64).astype(np.int64)
        edges = [value for p in owners.places for value in (p.function.start, min(p.function.end, NOWHERE))]
        ends = scan.address + scan.size
        gaps = ends[np.append(ends[:-1] != scan.address[1:], True)]
        self.cuts: list[int] = np.unique(np.concatenate([called, named, np.array(edges, np.int64), gaps])).tolist()
        self.names = {address: name for name, address in image.symbols.items()}

    def of(self, indices: tuple[int, ...]) -> dict[Place, int]:
        """How many of *indices* each place holds."""
        counts = Counter(place for index in indices if (place := self._home(index)) is not None)
        return dict(counts)

    def _home(self, index: int) -> Place | None:
        place = self.owners.place(index)
        if place is not None:
            return place
        at = bisect_right(self.cuts, self.scan.addresses[index])
        if not 0 < at < len(self.cuts):
            return None
        start, end = self.cuts[at - 1], self.cuts[at]
        low, high = self.scan.low_high(start, end)
        if high - low > _LONGEST:
            return None
        name = self.names.get(start, f"sub_{start:x}")
        return Place(Function(start, end - start, (name,)), low, high, entry_index(self.image, self.scan, low, high))
