"""The census itself: functions to places, places to units, units to verdicts, verdicts to bodies."""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

from lab.images.image import Function, Image
from lab.layout import SiteOut
from rewriters.census import a64
from rewriters.census.body import Body, Survey
from rewriters.census.entries import entry_index
from rewriters.census.fdes import Fde, read_fdes
from rewriters.census.judge import Judged, Verdict, judge
from rewriters.census.scan import Flow, Op, Scan
from rewriters.census.unit import Place, Unit

_JUMPS = frozenset({Flow.JUMP, Flow.BRANCH, Flow.SHORT})


def survey(image: Image) -> Survey:
    """The census of *image*.  Nothing is decoded in detail but what needs it."""
    began = time.thread_time()
    work = _Work(image, a64.scan(image), read_fdes(image))
    work.run()
    return Survey(
        bodies=work.bodies,
        left_out=work.left_out,
        groups=tuple(frozenset(group) for group in work.groups() if len(group) > 1),
        jumps={},
        switches=work.switches,
        decoded=len(work.scan.addresses),
        understood=work.scan.understood,
        seconds=time.thread_time() - began,
    )


@dataclass
class _Work:
    image: Image
    scan: Scan
    fdes: dict[int, Fde]
    places: list[Place] = field(init=False)
    lows: list[int] = field(init=False)
    fragments: set[int] = field(init=False)
    parent: dict[int, int] = field(init=False)
    bodies: dict[int, Body] = field(default_factory=dict)
    left_out: dict[int, SiteOut] = field(default_factory=dict)
    switches: dict[int, SiteOut] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = [self._place(function) for function in self.image.functions]
        self.lows = [place.low for place in self.places]
        self.fragments = {fde.start for fde in self.fdes.values() if fde.fragment}
        self.parent = {place.function.start: place.function.start for place in self.places}

    def _place(self, function: Function) -> Place:
        low, high = self.scan.indices(_array(function.start, function.end)).tolist()
        return Place(function, low, high, entry_index(self.image, self.scan, low, high))

    def root(self, start: int) -> int:
        """The representative of *start*'s group."""
        while self.parent[start] != start:
            self.parent[start] = self.parent[self.parent[start]]
            start = self.parent[start]
        return start

    def unite(self, one: int, other: int) -> None:
        self.parent[self.root(one)] = self.root(other)

    def groups(self) -> list[list[int]]:
        """All groups, each sorted by start."""
        found: dict[int, list[int]] = {}
        for start in sorted(self.parent):
            found.setdefault(self.root(start), []).append(start)
        return list(found.values())

    def place_at(self, index: int) -> Place | None:
        number = bisect_right(self.lows, index) - 1
        if number < 0 or index >= self.places[number].high:
            return None
        return self.places[number]

    def refuse(self, place: Place, address: int, reason: str) -> None:
        """Leave *place* out; the first reason stands."""
        start = place.function.start
        self.left_out.setdefault(start, SiteOut(place.function.name, address, reason))

    def run(self) -> None:
        self._before_tracking()
        self._links()
        starts = frozenset(place.function.start for place in self.places) | frozenset(
            self.scan.addresses[place.entry] for place in self.places if place.entry < place.high
        )
        by_start = {place.function.start: place for place in self.places}
        done: set[frozenset[int]] = set()
        again = True
        while again:
            again = False
            for group in self.groups():
                key = frozenset(group)
                if key in done:
                    continue
                done.add(key)
                judged = self._judge([by_start[start] for start in group], starts)
                for fragment in judged.fragments:
                    again = True
                    home = by_start[fragment]
                    self.fragments.add(fragment)
                    self.unite(group[0], home.function.start)
        self._settle()

    def _judge(self, places: list[Place], starts: frozenset[int]) -> Judged:
        unit = Unit(self.scan, tuple(places), frozenset(p.function.start for p in places) & frozenset(self.fragments))
        judged = judge(self.image, unit, starts)
        for low, verdict in judged.verdicts.items():
            self.verdicts[self.scan.addresses[low]] = verdict
        return judged

    def _before_tracking(self) -> None:
        for left, right in pairwise(self.places):
            if right.function.start < left.function.end:
                self.refuse(left, left.function.start, f"overlaps {right.function.name}")
                self.refuse(right, right.function.start, f"overlaps {left.function.name}")
        for place in self.places:
            function = place.function
            fde = self.fdes.get(function.start)
            if function.start <= self.image.entry < function.end:
                self.refuse(place, function.start, "the program's entry: there is nobody to return to")
            elif fde is not None and fde.signal:
                self.refuse(place, function.start, "a signal-return trampoline")
            elif place.low >= place.high:
                self.refuse(place, function.start, "no code of it lies in an executable section")

    def _links(self) -> None:
        """Unite functions that jump into each other's middles; leave out those entered otherwise."""
        scan = self.scan
        for index in scan.events:
            kind = scan.flows[index]
            if kind not in _JUMPS and kind != Flow.CALL:
                continue
            target = int(scan.target[index])
            goal = int(scan.indices(_array(target))[0])
            into = self.place_at(goal)
            source = self.place_at(index)
            if into is None or (into is source and kind != Flow.CALL):
                continue
            if into.low <= goal <= into.entry and into.function.start not in self.fragments:
                continue
            if kind == Flow.CALL:
                who = source.function.name if source else "code outside every function"
                self.refuse(into, target, f"{who} calls into its middle")
            elif source is None:
                self.refuse(into, target, "code outside every function jumps into its middle")
            else:
                self.unite(source.function.start, into.function.start)

    def _settle(self) -> None:
        for place in self.places:
            verdict = self.verdicts.get(place.function.start)
            if verdict is None:
                continue
            if verdict.problem:
                self.refuse(place, verdict.where, verdict.problem)
            if verdict.switch:
                self.switches[place.function.start] = self.left_out[place.function.start]
        for group in self.groups():
            bad = next((start for start in group if start in self.left_out), None)
            for start in group:
                if bad is None:
                    self.bodies[start] = self._body(self.verdicts[start])
                elif start not in self.left_out:
                    out = self.left_out[bad]
                    place = self.verdicts[start].place
                    self.refuse(
                        place, start, f"shares activations with {out.function}, which is left out: {out.reason}"
                    )

    def _body(self, verdict: Verdict) -> Body:
        place = verdict.place
        scan = self.scan
        inside = range(place.low, place.high)
        calls = any(scan.flows[i] in {Flow.CALL, Flow.CALL_INDIRECT} for i in inside)
        spills = calls or any(op[0] in _SPILLS for i in inside if i in scan.effects for op in scan.effects[i])
        fde = self.fdes.get(place.function.start)
        return Body(
            image=self.image,
            function=place.function,
            entry=scan.addresses[place.entry] if place.entry < place.high else place.function.start,
            exits=tuple(verdict.exits),
            to_entry=tuple(verdict.to_entry),
            into=tuple(verdict.into),
            tables=tuple(verdict.tables),
            calls=calls,
            spills=spills,
            landing_pads=fde is not None and fde.lsda,
            fragment=place.function.start in self.fragments,
            scratch=(),
        )


_SPILLS = frozenset({Op.LR_SAVE, Op.LR_LOAD, Op.LR_LOST, Op.LR_REG})


def _array(*values: int):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.array(values, np.int64)
