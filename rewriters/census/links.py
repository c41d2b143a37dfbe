"""Which functions share activations because one jumps into another's middle, and which are entered otherwise."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np

from rewriters.census.scan import Flow, Ints, Scan
from rewriters.census.unit import Place


class Groups:
    """Sets of function starts, merged as they turn out to belong together (union-find)."""

    def __init__(self, starts: list[int]) -> None:
        self._parent = {start: start for start in starts}

    def root(self, start: int) -> int:
        """The representative of *start*'s set."""
        parent = self._parent
        while parent[start] != start:
            parent[start] = parent[parent[start]]
            start = parent[start]
        return start

    def unite(self, one: int, other: int) -> None:
        """*one* and *other* belong together."""
        self._parent[self.root(one)] = self.root(other)

    def all(self) -> list[tuple[int, ...]]:
        """Every set, sorted."""
        found: dict[int, list[int]] = {}
        for start in sorted(self._parent):
            found.setdefault(self.root(start), []).append(start)
        return [tuple(group) for group in found.values()]


@dataclass
class Links:
    """``refused``: (function start, address, reason); ``pairs``: starts of functions that share activations."""

    refused: list[tuple[int, int, str]] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Owners:
    """Which place holds an instruction; of overlapping places the one that begins last."""

    places: tuple[Place, ...]
    lows: Ints
    highs: Ints
    entries: Ints

    @staticmethod
    def of(places: tuple[Place, ...]) -> Owners:
        """Owners by *places*, which are sorted by start."""
        columns = [np.array([getattr(p, name) for p in places], np.int64) for name in ("low", "high", "entry")]
        return Owners(places, *columns)

    def at(self, indices: Ints) -> Ints:
        """Per instruction index the number of its place, -1 where no function holds it."""
        if not self.places:
            return np.full(len(indices), -1, np.int64)
        number = np.searchsorted(self.lows, indices, side="right") - 1
        inside = (number >= 0) & (indices < self.highs[number])
        return np.where(inside, number, -1)

    def place(self, index: int) -> Place | None:
        """The place of instruction *index*."""
        number = bisect_right(self.lows, index) - 1
        return self.places[number] if number >= 0 and index < self.places[number].high else None


def find_links(scan: Scan, owners: Owners, fragments: frozenset[int], exempt: frozenset[int]) -> Links:
    """All direct jumps and calls that enter a function elsewhere than at its entry.  *exempt*: indices of jumps that
    are none (unused veneers)."""
    links = Links()
    if not owners.places:
        return links
    direct = np.nonzero((scan.target >= 0) & np.isin(scan.flow, (Flow.JUMP, Flow.BRANCH, Flow.SHORT, Flow.CALL)))[0]
    goals = scan.indices(scan.target[direct])
    goals = np.minimum(goals, len(scan.address) - 1)
    exact = scan.address[goals] == scan.target[direct]
    source, into = owners.at(direct), owners.at(goals)
    _between(scan, owners, direct[~exact], source[~exact], links)
    calls = scan.flow[direct] == Flow.CALL
    of_fragment = np.array([p.function.start in fragments for p in owners.places], bool)
    middle = (into >= 0) & exact & ((goals > owners.entries[into]) | of_fragment[into]) & ((source != into) | calls)
    for number in np.nonzero(middle)[0].tolist():
        index = int(direct[number])
        if index in exempt:
            continue
        home = owners.places[source[number]] if source[number] >= 0 else None
        goal = owners.places[into[number]]
        _enter(scan, index, home, goal, links)
    return links


def _enter(scan: Scan, index: int, home: Place | None, goal: Place, links: Links) -> None:
    target, start = scan.targets[index], goal.function.start
    if scan.flows[index] == Flow.CALL:
        who = "code outside every function" if home is None else "it" if home is goal else home.function.name
        links.refused.append((start, target, f"{who} calls into its middle at {target:#x}"))
    elif home is None:
        where = scan.addresses[index]
        links.refused.append((start, target, f"code outside every function jumps into its middle from {where:#x}"))
    else:
        links.pairs.append((home.function.start, start))


def _between(scan: Scan, owners: Owners, direct: Ints, source: Ints, links: Links) -> None:
    """Jumps to no instruction's beginning: those inside the text lead into the middle of one."""
    for index, number in zip(direct.tolist(), source.tolist(), strict=True):
        target = scan.targets[index]
        before = int(np.searchsorted(scan.address, target)) - 1
        if before < 0 or target >= scan.addresses[before] + int(scan.size[before]):
            continue
        for place in (owners.places[number] if number >= 0 else None, owners.place(before)):
            if place is not None:
                reason = f"a jump at {scan.addresses[index]:#x} leads into the middle of an instruction at {target:#x}"
                links.refused.append((place.function.start, target, reason))
