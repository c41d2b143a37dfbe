"""Where control really goes in the new image: every way out of an original instruction leads where it led.

A way is followed through what the rewriter put in (jumps, sequences, fillers) until original code, an original
return, or a trap is reached.  The sequences passed on the way are its events.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.arch.decode import Kind
from lab.layout import Region
from rewriters.verify.carried import Carriage
from rewriters.verify.facts import Fact
from rewriters.verify.pair import IN_OLD_TEXT, Pair
from rewriters.verify.units import Unit, Units, What


class End(enum.Enum):
    """What a way comes to, if it is no original instruction."""

    RETURN = "return"  # an original return whose place the rewriter's own took
    TRAP = "trap"
    LOST = "lost"  # nothing that executes, or for ever round and round


@dataclass(frozen=True, slots=True)
class Way:
    """``to``: the original instruction reached, by its old address; or how it ends.  ``events``: pushes, pops and the
    rest of what is passed, in order; ``at``: the new address it comes to."""

    to: int | End
    events: tuple[Unit, ...]
    at: int


_SILENT = frozenset({What.JUMP, What.NOP})
_MOST = 64


@dataclass
class Ways:
    """Ways of one pair of images, each followed once.  ``returns``: new address of a return of ours -> the original
    return it was found to stand for."""

    pair: Pair
    units: Units
    carriage: Carriage
    returns: dict[int, int] = field(default_factory=dict)
    _known: dict[int, Way] = field(default_factory=dict)

    def follow(self, start: int) -> Way:
        """Where control goes that comes to new address *start*."""
        way = self._known.get(start)
        if way is None:
            way = self._known[start] = self._follow(start)
        return way

    def _follow(self, start: int) -> Way:
        at = start
        events: list[Unit] = []
        for _ in range(_MOST):
            unit = self.units.by_start.get(at)
            if unit is None:
                return Way(self._original(at), tuple(events), at)
            match unit.what:
                case What.CARRIED:
                    return Way(self._original(at), tuple(events), at)
                case What.JUMP | What.STUB:
                    events.append(unit)
                    assert unit.target is not None
                    at = unit.target
                case What.NOP | What.PUSH | What.POP | What.HOOK | What.AUTHENTICATE:
                    events.append(unit)
                    at = unit.end
                case What.RETURN:
                    return Way(End.RETURN, (*events, unit), at)
                case What.TRAP:
                    return Way(End.TRAP, (*events, unit), at)
        return Way(End.LOST, tuple(events), at)

    def _original(self, at: int) -> int | End:
        """The old address of the original instruction at new address *at*."""
        carried = self.pair.places.holding(at)
        if carried is not None:
            old = carried.old + at - carried.new
            begins = self.pair.place(old) is not None and self.carriage.begins(at)
            return old if begins or self._behind_lock(old, at) else End.LOST
        piece = self.pair.pieces.at(at)
        if piece is not None or (self.pair.old_fact(at) is None and self.pair.old.function_at(at) is not None):
            return End.LOST
        return at

    def _behind_lock(self, old: int, at: int) -> bool:
        """Whether the lock prefix of an instruction was and is at the byte before: C libraries jump over it."""
        fact = self.pair.old_fact(old - 1)
        return fact is not None and fact.mnemonic == "lock" and self.carriage.begins(at - 1)

    def taken(self, fact: Fact) -> Way:
        """Where the direct branch *fact* goes."""
        assert fact.target is not None
        now = self.carriage.target(fact)
        if now == fact.target and fact.target not in self.pair.changed:
            return Way(now, (), now)
        return self.follow(now)

    def behind(self, fact: Fact) -> Way:
        """Where control goes from *fact* to what followed it."""
        place = self.pair.place(fact.address)
        assert place is not None, "an instruction that does not exist any more"
        if place[1] == fact.end and fact.end not in self.pair.changed:
            return Way(fact.end, (), fact.end)
        return self.follow(place[1])

    def enter(self, old: int, near: int | None = None) -> Way:
        """How what stood at *old* is entered by a jump through a register: there, or where the tables and pointers of
        moved code lead; or as far from its new place as it was from that of *near*, the jump, where code computes the
        address and distances were kept."""
        for door in self._doors(old, near):
            way = self.follow(door)
            if self.same(way, old):
                return way
        return Way(End.LOST, (), old)

    def entries(self, start: int) -> list[Way]:
        """Every way into the function that started at *start*: its old place, and what pointers to it name now."""
        return [self.follow(door) for door in dict.fromkeys((start, *self.pair.renamed.get(start, ())))]

    def _doors(self, old: int, near: int | None) -> Iterator[int]:
        yield from self.pair.renamed.get(old, ())
        yield old
        jump = None if near is None else self.pair.place(near)
        if near is not None and jump is not None:
            yield jump[0] + old - near
        place = self.pair.place(old)
        if place is not None:
            yield place[0]

    def same(self, way: Way, old: int) -> bool:
        """Whether *way* comes to what control that came to *old* in the old image came to."""
        wanted = self.settle(old)
        if way.to is End.RETURN:
            return self._returns(way, wanted)
        if isinstance(way.to, End):
            return False
        return way.to == old or self.settle(way.to) == wanted

    def _returns(self, way: Way, wanted: int) -> bool:
        """An own return stands for an original one; for retaa and retab, behind the authentication it did."""
        fact = self.pair.old_fact(wanted)
        if fact is None or fact.kind is not Kind.RETURN:
            return False
        done = [unit.text for unit in way.events if unit.what is What.AUTHENTICATE]
        fine = done == _AUTHENTICATION.get(fact.mnemonic, []) and fact.text in _PLAIN
        if fine:
            self.returns.setdefault(way.at, wanted)
        return fine

    def settle(self, old: int) -> int:
        """*old*, or where control goes from there without doing anything in the old image: past NOPs, landing pads
        and sites that were overwritten, along jumps that were."""
        for _ in range(_MOST):
            fact = self.pair.old_fact(old)
            if fact is None:
                return old
            if fact.mnemonic in _IDLE or (fact.mnemonic in _SITES and self._site(fact)):
                old = fact.end
            elif fact.kind is Kind.JUMP and fact.target is not None and self._site(fact):
                old = fact.target
            else:
                return old
        return old

    def padding(self, old: int, end: int) -> bool:
        """Whether from *old* to *end*, the end of its function, there are only NOPs, or nothing."""
        while old < end:
            fact = self.pair.old_fact(old)
            if fact is None or fact.mnemonic != "nop":
                return False
            old = fact.end
        return True

    def _site(self, fact: Fact) -> bool:
        """Whether *fact* was overwritten without being carried elsewhere."""
        piece = self.pair.pieces.at(fact.address)
        return piece is not None and piece.region is Region.INSERTED and self.pair.place(fact.address) is None


_IDLE = frozenset({"nop", "bti", "endbr64", "endbr32"})
_SITES = frozenset({"paciasp", "autiasp"})
_AUTHENTICATION = {"retaa": ["autiasp"], "retab": ["autibsp"]}
_PLAIN = frozenset({"ret", "retaa", "retab"})


def check_ways(ways: Ways) -> Iterator[str]:
    """Every original instruction that is carried, falls into changed code or jumps there goes on as it did."""
    pair = ways.pair
    for function in pair.old.functions:
        for way in ways.entries(function.start):
            if not ways.same(way, function.start) and not _unused(ways, function.start):
                yield f"the entry of {function.name} leads to {described(ways, way)}"
        for fact in pair.reading.of(function).values():
            yield from _check(ways, fact, function.end)


def _unused(ways: Ways, start: int) -> bool:
    """Whether nothing executes at *start* by itself: it is padding, or a part of a function that moved away."""
    fact = ways.pair.old_fact(start)
    return fact is None or ways.follow(start).to is End.TRAP


def _check(ways: Ways, fact: Fact, end: int) -> Iterator[str]:
    pair = ways.pair
    place = pair.place(fact.address)
    if place is None:
        return
    if fact.falls:
        yield from _falls(ways, fact, end)
    if fact.target is None:
        return
    way = ways.taken(fact)
    if not ways.same(way, fact.target) and pair.old.function_at(fact.target) is not None:
        said = f"'{fact.text}' of {pair.old.locate(fact.address)}, now at {pair.within(place[0])}"
        yield f"{said}, goes to {described(ways, way)}"


def _falls(ways: Ways, fact: Fact, end: int) -> Iterator[str]:
    """The way on behind *fact*, whose function ends at *end*."""
    way = ways.behind(fact)
    nothing = fact.kind is Kind.CALL or fact.mnemonic == "nop"  # a call that does not return, padding
    if ways.same(way, fact.end) or (nothing and ways.padding(fact.end, end) and way.to is not End.LOST):
        return
    yield f"behind '{fact.text}' of {ways.pair.old.locate(fact.address)} control goes to {described(ways, way)}"


def described(ways: Ways, way: Way) -> str:
    """*way*'s end in words."""
    if isinstance(way.to, End):
        return f"a {way.to.value} at {ways.pair.within(way.at)}" if way.to is not End.LOST else f"nowhere ({way.at:#x})"
    return ways.pair.old.locate(way.to)


def check_dead(pair: Pair) -> Iterator[str]:
    """Old bodies are traps, and so is every byte of them; what was carried away is not left to execute."""
    trap = _TRAP_BYTES[pair.arch.name]
    for piece in pair.map.inserted:
        if piece.region is Region.DEAD:
            code = pair.new.read(piece.start, piece.end - piece.start)
            if code != (trap * (len(code) // len(trap) + 1))[: len(code)]:
                yield f"the old body at {pair.old.locate(piece.start)} is not all traps"
        elif piece.region in IN_OLD_TEXT and pair.old.function_at(piece.start) is None:
            yield f"code was inserted at {piece.start:#x}, which is in no function"
    for carried in pair.map.carried:
        if not pair.gone.covers(carried.old, carried.old + carried.old_size):
            yield f"{pair.old.locate(carried.old)} was carried elsewhere and still stands where it was"


_TRAP_BYTES = {"aarch64": bytes.fromhex("200020d4"), "x86_64": b"\xcc"}
