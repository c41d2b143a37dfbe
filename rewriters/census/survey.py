"""The census itself: functions to places, places to units, units to verdicts, verdicts to bodies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lab.errors import InputError
from lab.images.image import Function, Image
from lab.layout import SiteOut
from rewriters.census import a64, x64
from rewriters.census.body import Body, Exit, ExitKind, JumpKind, JumpShape, Survey
from rewriters.census.entries import entry_index
from rewriters.census.fdes import read_fdes
from rewriters.census.judge import Judged, Verdict, judge
from rewriters.census.links import Groups, Links, Owners, find_links
from rewriters.census.scan import NOWHERE, Flow, Op, Scan
from rewriters.census.scratch import Scratch, find_scratch
from rewriters.census.special import find_special
from rewriters.census.unit import Place, Unit
from rewriters.census.veneers import resolve_veneers
from rewriters.sites import executable_sections

_SPILLS = frozenset({Op.LR_SAVE, Op.LR_LOAD, Op.LR_LOST, Op.LR_REG})
_CALLS = frozenset({Flow.CALL, Flow.CALL_INDIRECT})
_MOST_ROUNDS = 12
#: Bytes by which a function without a size of its own may be taken to reach beyond its section, to the next symbol.
_PADDING = 16
_JUMP_REASONS = {JumpKind.SETJMP: "saves a jmp_buf", JumpKind.LONGJMP: "restores a jmp_buf"}
#: System V x86-64 psABI 3.2.3: r10 carries a nested function's static chain.
_CHAIN = {"x86_64": "r10"}


def survey(image: Image) -> Survey:
    """The census of *image*.  Nothing is decoded in detail but what needs it."""
    began = time.thread_time()
    work = _Work(image, scan_image(image))
    work.run()
    return Survey(
        bodies=work.bodies,
        left_out=work.left_out,
        groups=tuple(frozenset(group) for group in work.groups.all() if len(group) > 1),
        jumps=work.jumps,
        switches=work.switches,
        decoded=len(work.scan.addresses),
        understood=work.scan.understood,
        seconds=time.thread_time() - began,
    )


def scan_image(image: Image) -> Scan:
    """The columns of *image*, by its architecture; InputError where its executable sections make no sense."""
    if any(address + len(data) >= NOWHERE for address, data in executable_sections(image)):
        raise InputError(f"{image.path}: an executable section lies outside of every segment; link it again")
    found = a64.scan(image) if image.arch.lr is not None else x64.scan(image)
    if len(found.address) == 0 or (found.address[:-1] + found.size[:-1] > found.address[1:]).any():
        raise InputError(f"{image.path}: executable sections overlap or hold nothing; link it again")
    return found


class _Work:
    """One survey under way."""

    def __init__(self, image: Image, scan: Scan) -> None:
        self.image, self.scan = image, scan
        self.fdes = read_fdes(image)
        placed = [self._place(function) for function in image.functions]
        self.places = tuple(place for place in placed if place.low < place.high)
        self.empty = [place.function for place in placed if place.low >= place.high]
        self.by_start = {place.function.start: place for place in self.places}
        self.number = {place.function.start: number for number, place in enumerate(self.places)}
        self.owners = Owners.of(self.places)
        self.fragments = frozenset(
            fde.start for fde in self.fdes.values() if fde.fragment and fde.start in self.by_start
        )
        self.outermost = [fde.start for fde in self.fdes.values() if fde.outermost]
        self.overlapping: set[int] = set()
        self.noreturn: frozenset[int] = frozenset()
        self.calls = np.nonzero(scan.flow == Flow.CALL)[0]
        self.scratch: Scratch | None = None
        self.groups = Groups(list(self.by_start))
        self.veneers = resolve_veneers(scan, self.owners)
        self.bodies: dict[int, Body] = {}
        self.left_out: dict[int, SiteOut] = {}
        self.jumps: dict[int, JumpShape] = {}
        self.switches: dict[int, SiteOut] = {}
        self.verdicts: dict[int, Verdict] = {}
        self.leads: dict[tuple[int, ...], list[tuple[int, int]]] = {}

    def _place(self, function: Function) -> Place:
        low, high = self.scan.low_high(function.start, function.end)
        fde = self.fdes.get(function.start)
        return Place(function, low, high, entry_index(self.image, self.scan, low, high), fde is not None and fde.lsda)

    def refuse(self, start: int, address: int, reason: str) -> None:
        """Leave the function at *start* out; the first reason stands.  What lies elsewhere is its start's fault."""
        function = self.by_start[start].function
        inside = function.start <= address <= function.end
        self.left_out.setdefault(start, SiteOut(function.name, address if inside else start, reason))

    def run(self) -> None:
        """Everything, in order."""
        self._known_before()
        self._link(find_links(self.scan, self.owners, self.fragments, self.veneers.jumps))
        starts = frozenset(self.by_start) | frozenset(self.scan.addresses[place.entry] for place in self.places)
        self._judge_all(starts)
        self._believe_noreturn(starts)
        leads = [lead for group in self.groups.all() for lead in self.leads[group]]
        stops = [
            i for i in self.scan.events if self.scan.flows[i] == Flow.CALL and self.scan.targets[i] in self.noreturn
        ]
        self.scratch = find_scratch(self.scan, self.owners, leads, self.fragments, stops)
        self._name_special()
        self._settle()

    def _name_special(self) -> None:
        """setjmp, longjmp and clone."""
        special = find_special(self.image, self.scan, self.owners, self.noreturn)
        self.jumps = special.jumps
        for start, (name, address) in special.clones.items():
            self.switches[start] = SiteOut(name, address, "clones: a child of it may share the memory")
            if start in self.by_start:
                self.refuse(start, address, self.switches[start].reason)

    def _known_before(self) -> None:
        for function in self.empty:
            reason = "no code of it lies in an executable section"
            self.left_out[function.start] = SiteOut(function.name, function.start, reason)
        for left, right in _overlaps(self.places):
            self.overlapping |= {left.function.start, right.function.start}
            self.refuse(left.function.start, left.function.start, f"overlaps {right.function.name}")
            self.refuse(right.function.start, right.function.start, f"overlaps {left.function.name}")
        for start, place in self.by_start.items():
            fde = self.fdes.get(start)
            if start <= self.image.entry < place.function.end:
                self.refuse(start, start, "the program's entry: there is nobody to return to")
            elif fde is not None and fde.signal:
                self.refuse(start, start, "a signal-return trampoline")
            elif not self._whole(place):
                self.refuse(start, start, "its range is not all code")
            elif self._outermost(place):
                self.refuse(start, start, "its unwind information says that nobody called it, or a part of it")

    def _whole(self, place: Place) -> bool:
        last = place.high - 1
        end = self.scan.addresses[last] + int(self.scan.size[last])
        gapless = end - self.scan.addresses[place.low] == int(self.scan.size[place.low : place.high].sum())
        missing = max(place.function.end - end, 0)
        try:
            self.image.read(end, missing)
        except InputError:
            return False
        return self.scan.addresses[place.low] == place.function.start and missing < _PADDING and gapless

    def _outermost(self, place: Place) -> bool:
        return any(place.function.start <= start < place.function.end for start in self.outermost)

    def _link(self, links: Links) -> None:
        for start, address, reason in links.refused:
            self.refuse(start, address, reason)
        for one, other in links.pairs:
            self.groups.unite(one, other)

    def _judge_all(self, starts: frozenset[int]) -> None:
        """Judge every group; a function entered with its caller's frame up joins that one's group, which is judged
        again."""
        done: set[tuple[tuple[int, ...], frozenset[int]]] = set()
        while True:  # groups only grow, and so do the fragments in them
            found = [(group, self.fragments & frozenset(group)) for group in self.groups.all()]
            fresh = [key for key in found if key not in done]
            if not fresh:
                return
            done.update(fresh)
            for group, _ in fresh:
                for address in self._judge(group, starts, frozenset()).entered:
                    self._enter(group[0], address)

    def _enter(self, source: int, address: int) -> None:
        """*source*'s group jumps to the entry at *address* with its frame up: only a fragment is entered so."""
        place = self.owners.place(self.scan.low_high(address, address)[0])
        assert place is not None, "an entry lies in its function"
        start = place.function.start
        self.groups.unite(source, start)
        if any(".cold" in name for name in place.function.names) and not (self.scan.target[self.calls] == start).any():
            self.fragments |= {start}
        else:
            self.refuse(start, start, "entered by a jump with another function's frame up")

    def _judge(self, group: tuple[int, ...], starts: frozenset[int], noreturn: frozenset[int]) -> Judged:
        places = tuple(self.by_start[start] for start in group)
        if self.overlapping & frozenset(group):
            judged = Judged(
                [Verdict(place, problem="shares code with a function that overlaps another") for place in places],
                set(),
                [],
            )
        else:
            unit = Unit(self.scan, places, self.fragments & frozenset(group), noreturn)
            judged = judge(self.image, unit, starts)
        for verdict in judged.verdicts:
            self.verdicts[verdict.place.function.start] = verdict
        self.leads[group] = judged.leads
        return judged

    def _believe_noreturn(self, starts: frozenset[int]) -> None:
        """Judge groups with a problem again, now believing that functions without an exit do not return."""
        for _ in range(_MOST_ROUNDS):
            found = frozenset(s for s, v in self.verdicts.items() if not v.exits and not v.problem)
            if found == self.noreturn:
                return
            self.noreturn = found
            for group in self.groups.all():
                before = [self.verdicts[start] for start in group]
                if not any(verdict.problem for verdict in before):
                    continue
                self._judge(group, starts, self.noreturn)
                if any(self.verdicts[start].problem for start in group):
                    self.verdicts.update({v.place.function.start: v for v in before})

    def _settle(self) -> None:
        assert self.scratch is not None
        for start, verdict in self.verdicts.items():
            if start in self.jumps:
                self.refuse(start, start, _JUMP_REASONS[self.jumps[start].kind])
            elif verdict.problem:
                self.refuse(start, verdict.where, verdict.problem)
            if verdict.switch and start not in self.jumps:
                self.switches[start] = self.left_out[start]
        for group in self.groups.all():
            out = next((self.left_out[start] for start in group if start in self.left_out), None)
            for start in group:
                if out is None:
                    self.bodies[start] = self._body(self.verdicts[start])
                else:
                    why = f"shares activations with {out.function}, which is left out: {out.reason}"
                    self.refuse(start, start, why)

    def _body(self, verdict: Verdict) -> Body:
        assert self.scratch is not None
        place, scan = verdict.place, self.scan
        events = scan.events_of(place.low, place.high)
        calls = any(scan.flows[i] in _CALLS for i in events)
        fde = self.fdes.get(place.function.start)
        replaced = [pair for pair in self.veneers.used.items() if place.function.start <= pair[0] < place.function.end]
        return Body(
            image=self.image,
            function=place.function,
            entry=scan.addresses[place.entry],
            exits=tuple(self._kept(place, way) for way in verdict.exits),
            to_entry=tuple(verdict.to_entry),
            into=tuple(sorted(verdict.into + replaced)),
            tables=tuple(verdict.tables),
            calls=calls,
            spills=calls or any(op[0] in _SPILLS for i in events for op in scan.effects.get(i, ())),
            landing_pads=fde is not None and fde.lsda,
            over_prefix=tuple(verdict.over_prefix),
            bare_calls=tuple(verdict.bare_calls),
            flags_free=not self.scratch.flags_matter(self.number[place.function.start], place.entry),
            fragment=place.function.start in self.fragments,
            scratch=self.scratch.free(self.number[place.function.start], place.entry),
        )

    def _kept(self, place: Place, way: Exit) -> Exit:
        """*way* with what its target reads among the registers to keep."""
        assert self.scratch is not None
        more: tuple[str, ...] = ()
        if way.target is not None:
            index = self.scan.low_high(way.target, way.target)[0]
            if index < len(self.scan.addresses) and self.scan.addresses[index] == way.target:
                more = self.scratch.wanted(index)
        elif way.kind is ExitKind.TAIL_INDIRECT and self.scan.arch.name in _CHAIN:
            chain = _CHAIN[self.scan.arch.name]
            if (self.scan.kills[place.low : place.high] & self.scan.bits[chain]).any():
                more = (chain,)
        return replace(way, keeps=tuple(dict.fromkeys(way.keeps + more)))


def _overlaps(places: tuple[Place, ...]) -> Iterator[tuple[Place, Place]]:
    """Every place that begins before one ahead of it ends, with the one of these that reaches furthest."""
    furthest: Place | None = None
    for place in places:
        if furthest is not None and place.function.start < furthest.function.end:
            yield furthest, place
        if furthest is None or place.function.end > furthest.function.end:
            furthest = place
