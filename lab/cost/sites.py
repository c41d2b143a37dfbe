"""Every added instruction and the site it belongs to: the same program before and after a rewrite, pc by pc.

An original instruction is *kept* (it executes at its own place), *carried* (at another) or *overwritten*.  What a site
adds is what executes in the code written for it, minus what the instructions it overwrote executed.  Every
kept or carried instruction must execute exactly as often as before: where one does not, the program took
another way, and that is told apart, by pc, as ``elsewhere``.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from lab.cost.profile import Amounts, Profile, total
from lab.errors import EngineError
from lab.layout import InsertedRange, Region, RewriteMap

ENTRY_STUB = "(entry stub)"
"""The function of code that serves none."""


@dataclass(frozen=True, slots=True)
class Site:
    """What one function's sites add.  ``inserted``: executed in the code written for them, ``overwritten``: what the
    instructions that stood there executed before."""

    function: str
    region: Region
    inserted: Amounts
    overwritten: Amounts

    @property
    def added(self) -> Amounts:
        """The difference."""
        return self.inserted - self.overwritten


@dataclass(frozen=True)
class Attribution:
    """``before`` + the sites' ``added`` + ``elsewhere`` = ``after``.  ``moved``: pc (of the original image) -> what it
    executes more or less than before; empty where every kept instruction executes as often as before."""

    before: Amounts
    after: Amounts
    sites: tuple[Site, ...]
    elsewhere: Amounts
    moved: dict[int, Amounts]

    @property
    def added(self) -> Amounts:
        """By sites."""
        return total(site.added for site in self.sites)


class Pieces:
    """Which piece of code of a rewrite map an address lies in, in logarithmic time.  Pieces of one kind do not overlap,
    but a body that moved (MOVED) holds sequences; the innermost, later one counts."""

    def __init__(self, rewrite: RewriteMap) -> None:
        self._inserted = sorted(rewrite.inserted, key=lambda piece: piece.start)
        self._starts = [piece.start for piece in self._inserted]
        self._carried = sorted((c.new, c.new + c.new_size, c.old, c.old_size) for c in rewrite.carried)
        self._news = [row[0] for row in self._carried]
        self._gone = sorted((c.old, c.old + c.old_size) for c in rewrite.carried)
        self._olds = [row[0] for row in self._gone]

    def inserted(self, pc: int) -> InsertedRange | None:
        """The piece that the rewriter wrote around *pc*."""
        index = bisect.bisect_right(self._starts, pc) - 1
        piece = self._inserted[index] if index >= 0 else None
        return piece if piece is not None and pc < piece.end else None

    def origin(self, pc: int) -> int | None:
        """The original address of what executes at *pc* of the new image; None for the rewriter's own code."""
        index = bisect.bisect_right(self._news, pc) - 1
        if index >= 0 and pc < self._carried[index][1]:
            new, end, old, old_size = self._carried[index]
            if end - new == old_size:
                return old + pc - new
            return old if pc == new else None  # encoded anew as several: the first stands for it, the rest is added
        return pc if self.inserted(pc) is None else None

    def carried(self, old: int) -> bool:
        """Whether the original instruction at *old* executes elsewhere now."""
        index = bisect.bisect_right(self._olds, old) - 1
        return index >= 0 and old < self._gone[index][1]


def attribute(before: Profile, after: Profile, rewrite: RewriteMap) -> Attribution:
    """*after*, the rewritten image's execution, against *before*, its source's.  EngineError if it does not add up."""
    pieces = Pieces(rewrite)
    inserted: dict[tuple[str, Region], list[Amounts]] = defaultdict(list)
    overwritten: dict[tuple[str, Region], list[Amounts]] = defaultdict(list)
    kept: dict[int, Amounts] = {}
    for pc, amounts in after.at.items():
        origin = pieces.origin(pc)
        if origin is None:
            inserted[_key(pieces.inserted(pc), rewrite.region)].append(amounts)
        else:
            kept[origin] = kept.get(origin, Amounts()) + amounts
    for pc, amounts in before.at.items():
        piece = pieces.inserted(pc)
        if piece is not None and not pieces.carried(pc):
            overwritten[_key(piece, rewrite.region)].append(amounts)
        else:
            kept[pc] = kept.get(pc, Amounts()) - amounts
    # A carried branch may be taken where it was not, or be of another form: only executions must be equal.
    moved = {pc: change for pc, change in sorted(kept.items()) if change.instructions}
    sites = tuple(
        Site(*key, total(inserted[key]), total(overwritten[key]))
        for key in sorted({*inserted, *overwritten}, key=lambda key: (key[0], key[1].value))
    )
    found = Attribution(before.totals, after.totals, sites, total(kept.values()), moved)
    if found.before + found.added + found.elsewhere != found.after:
        raise EngineError(f"{after.image.path}: base and added instructions do not sum to those executed")
    return found


def _key(piece: InsertedRange | None, _region: Callable[[int], Region]) -> tuple[str, Region]:
    assert piece is not None
    return (piece.function or ENTRY_STUB, piece.region)
