"""Carried code compared with the original, piece by piece; and where each carried branch now goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from lab.errors import InputError
from lab.layout import Carried, Patched
from rewriters.verify.facts import Fact, facts
from rewriters.verify.meaning import Meaning, meaning, relative
from rewriters.verify.pair import IN_NEW_TEXT, Pair, verbatim


@dataclass
class Carriage:
    """What comparing found.  ``targets``: old address of a carried branch -> the new address it goes to;
    ``references``: (new address of the instruction, what it named, what it names now) of everything else that names an
    address; ``starts``: new addresses at which an original instruction begins."""

    pair: Pair
    targets: dict[int, int] = field(default_factory=dict)
    references: list[tuple[int, int, int]] = field(default_factory=list)
    starts: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def target(self, fact: Fact) -> int:
        """Where the direct branch *fact* goes in the new image."""
        assert fact.target is not None
        return self.targets.get(fact.address, fact.target)

    def begins(self, new: int) -> bool:
        """Whether an original instruction begins at new address *new* of carried code."""
        return new in self.starts


def compare(pair: Pair) -> Carriage:
    """Compare every carried piece, and every branch that stayed and was patched."""
    found = Carriage(pair)
    for piece in pair.places.by_new:
        try:
            _compare(pair, piece, found)
        except InputError as error:
            found.problems.append(str(error))
    for left, right in pairwise(pair.places.by_new):
        if left.new + left.new_size > right.new:
            found.problems.append(f"carried pieces overlap at {right.new:#x}")
    for left, right in pairwise(pair.places.by_old):
        if left.old + left.old_size > right.old:
            found.problems.append(f"{pair.old.locate(right.old)} was carried to two places")
    return found


def _compare(pair: Pair, piece: Carried, found: Carriage) -> None:
    home = pair.pieces.at(piece.new)
    if home is None or home.region not in IN_NEW_TEXT or piece.new + piece.new_size > home.end:
        found.problems.append(f"carried code at {piece.new:#x} lies in no new text")
    originals = list(_originals(pair, piece))
    if not originals or originals[-1].end != piece.old + piece.old_size:
        found.problems.append(f"{pair.old.locate(piece.old)}: what was carried are no whole instructions")
        return
    if len(originals) > 1 and not verbatim(piece):
        found.problems.append(f"{pair.old.locate(piece.old)}: several instructions became one piece of another size")
        return
    new = pair.new.read(piece.new, piece.new_size)
    old = pair.old.read(piece.old, piece.old_size)
    for fact in originals:
        low = fact.address - piece.old
        high = low + fact.size if len(originals) > 1 else piece.new_size
        found.starts.add(piece.new + low)
        if old[low : low + fact.size] == new[low:high] and not relative(pair.arch, fact):
            continue
        parts = list(facts(pair.arch, new[low:high], piece.new + low))
        said = meaning(pair.arch, fact, old[low : low + fact.size], parts, new[low:high])
        _take(pair, fact, piece.new + low, said, found)


def _originals(pair: Pair, piece: Carried) -> Iterator[Fact]:
    at, end = piece.old, piece.old + piece.old_size
    while at < end and (fact := pair.old_fact(at)) is not None:
        yield fact
        at = fact.end


def _take(pair: Pair, fact: Fact, new: int, said: Meaning, found: Carriage) -> None:
    if said.problem:
        if not _patched_constant(pair, fact, new):
            found.problems.append(f"{pair.old.locate(fact.address)}, carried to {new:#x}: {said.problem}")
    elif said.now is not None and said.was is not None:
        if said.code:
            found.targets[fact.address] = said.now
        else:
            found.references.append((new, said.was, said.now))


def _patched_constant(pair: Pair, fact: Fact, new: int) -> bool:
    """Whether the map says that the instruction at *new* holds another address now; check_references looks at it."""
    return any(entry.address == new and entry.size >= fact.size for entry in pair.patched_at(new))


Leads = Callable[[int, int], bool]
"""Whether new address (first) stands for old address (second)."""


def check_references(pair: Pair, carriage: Carriage, leads: Leads) -> Iterator[str]:
    """What carried code names, other than where it goes: the same address as before, or the new place of it."""
    for new, was, now in carriage.references:
        if was == now or any(_fits(entry, was, now) for entry in pair.patched_at(new)) or leads(now, was):
            continue
        yield f"the code at {pair.within(new)} names {now:#x}, the original {pair.old.locate(was)}"


def _fits(entry: Patched, was: int, now: int) -> bool:
    """Whether a patch explains the change from *was* to *now*: whole addresses, or their pages (adrp)."""
    page = ~0xFFF
    return (entry.old, entry.new) == (was, now) or (entry.old & page, entry.new & page) == (was, now)
