"""Functions that share an activation, and the paths between their events."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lab.images.image import Function
from rewriters.census.scan import ENDS, Flow, Scan


@dataclass(frozen=True, slots=True)
class Place:
    """One function's instructions, [low, high) in the scan; ``entry``: index of the first behind pads and NOPs;
    ``pads``: exceptions may be caught or cleaned up after in it."""

    function: Function
    low: int
    high: int
    entry: int
    pads: bool = False


@dataclass
class Unit:
    """Functions whose activations may go on in one another.  Nodes are events: positions in ``events``.

    ``fragments``: starts of members that are entered with another's activation; ``noreturn``: addresses of functions
    whose calls are believed not to come back."""

    scan: Scan
    places: tuple[Place, ...]
    fragments: frozenset[int] = frozenset()
    noreturn: frozenset[int] = frozenset()
    events: list[int] = field(init=False)
    owner: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.events, self.owner = [], []
        for number, place in enumerate(self.places):
            piece = self.scan.events_of(place.low, place.high)
            self.events += piece
            self.owner += [number] * len(piece)

    @cached_property
    def lows(self) -> list[int]:
        """Where the members begin."""
        return [place.low for place in self.places]

    def place_of(self, index: int) -> Place | None:
        """The member that holds instruction *index*."""
        number = bisect_right(self.lows, index) - 1
        if number < 0 or index >= self.places[number].high:
            return None
        return self.places[number]

    def node_at(self, index: int) -> int | None:
        """The first event at or after instruction *index* on the straight way; None: the way leaves its function."""
        node = bisect_left(self.events, index)
        place = self.place_of(index)
        if place is None or node == len(self.events) or self.events[node] >= place.high:
            return None
        return node

    @cached_property
    def goals(self) -> list[int | None]:
        """Per node the index its direct branch leads to inside this unit, other than to another member's entry."""
        scan = self.scan
        at = np.array(self.events, np.int64)
        targets = scan.target[at] if len(at) else at
        index = scan.indices(targets)
        found: list[int | None] = [None] * len(self.events)
        for node, (target, goal) in enumerate(zip(targets.tolist(), index.tolist(), strict=True)):
            if target < 0 or goal >= len(scan.addresses) or scan.addresses[goal] != target:
                continue
            if scan.flows[self.events[node]] in {Flow.CALL, Flow.CALL_INDIRECT}:
                continue
            if self.inside(node, goal):
                found[node] = goal
        return found

    def inside(self, node: int, goal: int) -> bool:
        """Whether a jump from *node* to instruction *goal* continues the activation."""
        place = self.place_of(goal)
        if place is None:
            return False
        home = self.places[self.owner[node]]
        return place is home or goal > place.entry or place.function.start in self.fragments

    def ends_at(self, index: int) -> bool:
        """Whether control never goes on from instruction *index* to the next."""
        kind = self.scan.flows[index]
        return kind in ENDS or (kind == Flow.CALL and self.scan.targets[index] in self.noreturn)
