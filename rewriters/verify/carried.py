"""Carried code compared with the original, piece by piece; and where each carried branch now goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from lab.errors import InputError
from lab.layout import Carried
from rewriters.verify.facts import Fact, facts
from rewriters.verify.meaning import Meaning, meaning, relative
from rewriters.verify.pair import IN_NEW_TEXT, Pair, verbatim


@dataclass
class Carriage:
    """What comparing found.  ``targets``: old address of a carried branch -> the new address it goes to;
    ``references``: (new address of the instruction, what it named, what it names now) of everything else that names an
    address; ``renamed``: (original, new) instructions that hold a part of an address (a page, its low bits, a whole one
    in an immediate) and differ in it; ``starts``: new addresses at which an original instruction begins."""

    pair: Pair
    targets: dict[int, int] = field(default_factory=dict)
    references: list[tuple[int, int, int]] = field(default_factory=list)
    renamed: list[tuple[Fact, Fact]] = field(default_factory=list)
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
    """Compare every carried piece, and every instruction that stayed and was patched."""
    found = Carriage(pair)
    for piece in pair.places.by_new:
        try:
            _compare(pair, piece, found)
        except InputError as error:
            found.problems.append(str(error))
    for entry in pair.map.patched:
        fact = pair.old_fact(entry.address)
        if fact is not None and entry.size == fact.size:
            _compare_patched(pair, fact, found)
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
        _take(pair, fact, parts, said, found)


def _compare_patched(pair: Pair, fact: Fact, found: Carriage) -> None:
    """An instruction in its old place that names another address now."""
    old, new = (image.read(fact.address, fact.size) for image in (pair.old, pair.new))
    parts = list(facts(pair.arch, new, fact.address))
    _take(pair, fact, parts, meaning(pair.arch, fact, old, parts, new), found)


def _originals(pair: Pair, piece: Carried) -> Iterator[Fact]:
    at, end = piece.old, piece.old + piece.old_size
    while at < end and (fact := pair.old_fact(at)) is not None:
        yield fact
        at = fact.end


def _take(pair: Pair, fact: Fact, parts: list[Fact], said: Meaning, found: Carriage) -> None:
    new = parts[0].address
    if said.problem:
        if len(parts) == 1 and constants(fact.text, parts[0].text):
            found.renamed.append((fact, parts[0]))
        else:
            found.problems.append(f"{pair.old.locate(fact.address)}, now at {pair.within(new)}: {said.problem}")
    elif said.now is not None and said.was is not None:
        if said.code:
            found.targets[fact.address] = said.now
        elif fact.mnemonic == "adrp":
            if said.was != said.now:
                found.renamed.append((fact, parts[0]))
        else:
            found.references.append((new, said.was, said.now))


def constants(old: str, new: str) -> tuple[int, int] | None:
    """The numbers in which two instructions differ, if they differ in the last number only."""
    one, other = _NUMBER.search(old), _NUMBER.search(new)
    if one is None or other is None or old[: one.start()] != new[: other.start()]:
        return None
    return int(one[1], 0), int(other[1], 0)


_NUMBER = re.compile(r"(0x[0-9a-f]+|\d+)$")
