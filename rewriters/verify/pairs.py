"""Is every activation pushed once and popped once?  A walk over all code of the new image, from its own ways.

The original instructions are the nodes; where control goes between them, and which sequences it passes on the way, is
read from the new image.  Functions start with nothing pushed; a part of a function that others jump into goes on with
what they had.  Nothing is taken from what the rewriter thought of the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from lab.arch.decode import Kind
from lab.images.image import Function
from lab.layout import Flavour
from lab.metadata.cfi_lsda import CallSite
from rewriters.verify.facts import Fact
from rewriters.verify.noreturn import noreturn
from rewriters.verify.state import ENTERED, State, after, popped
from rewriters.verify.templates import Templates
from rewriters.verify.throws import landing_pads, pad_of
from rewriters.verify.units import Unit, What
from rewriters.verify.ways import End, Way, Ways

#: Fillers between blocks: unreached ones are no jump-table target.
_PADDING = frozenset({"nop", "nopw", "int3", "udf", "brk", "ud2", ".byte"})


@dataclass
class Walk:
    """One walk.  ``before``: old address -> state; ``passed``: new address of a unit -> state before it; ``pushing``
    and ``popping``: functions (by start) with a push or a pop; ``found``: problems, by where they were seen."""

    ways: Ways
    noreturn: frozenset[int] = frozenset()
    before: dict[int, State] = field(default_factory=dict)
    passed: dict[int, State] = field(default_factory=dict)
    pushing: set[int] = field(default_factory=set)
    popping: set[int] = field(default_factory=set)
    found: dict[tuple[int, str], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pair = self.ways.pair
        self.arch = self.pair.arch
        self.reading = self.pair.reading
        layout = self.pair.map.layout
        self.silent = not Templates(self.arch, layout).pop.lines
        self.at_entry_sp = layout.flavour is Flavour.PARALLEL or self.arch.lr is None
        self._indirect: dict[int, set[int]] = {}
        self._unreached: dict[int, list[Fact]] = {}
        self._open: list[int] = []

    # -- from where ---------------------------------------------------------------------------------------

    @cached_property
    def owners(self) -> dict[int, int]:
        """Whose new text is whose."""
        return self.ways.units.owners(self.pair)

    @cached_property
    def seeds(self) -> set[int]:
        """Starts of functions that are surely entered as functions: called, or nobody jumps there from elsewhere."""
        jumped, called = set(), {self.pair.old.entry}
        for function in self.pair.old.functions:
            for fact in self.reading.of(function).values():
                if fact.target is None:
                    continue
                if fact.kind is Kind.CALL:
                    called.add(fact.target)
                elif not function.start <= fact.target < function.end:
                    jumped.add(fact.target)
        return {f.start for f in self.pair.old.functions if f.start in called or f.start not in jumped}

    @cached_property
    def pads(self) -> list[CallSite]:
        """Call sites with a landing pad, by address."""
        return landing_pads(self.pair.old)

    def run(self) -> Walk:
        """Walk everything."""
        for start in sorted(self.seeds):
            for way in self.ways.entries(start):
                self._arrive(way, ENTERED, start)
        self._settle()
        for function in self.pair.old.functions:
            if function.start not in self.before:  # reached by jumps alone, from functions not reached themselves
                self._enter(function.start, ENTERED)
                self._settle()
        for address, state in self.before.items():
            if state.pushed is None and not self.silent:
                self._wrong(address, "paths with and without a push meet here")
        return self

    def _settle(self) -> None:
        self._flow()
        changed = True
        while changed:
            changed = False
            for start in sorted(self._indirect):
                home = self.pair.old.function_at(start)
                if home is not None and self._tables(home):
                    changed = True

    def _tables(self, function: Function) -> bool:
        """Let an indirect jump that must stay inside *function* reach the first block nobody reaches."""
        jumps = [at for at in sorted(self._indirect[function.start]) if at in self.before]
        up = [at for at in jumps if self.before[at].pushed is not False or self.before[at].sp != 0] or jumps
        way = self._orphan(function, up[0]) if up else None
        if way is None:
            return False
        joined = self.before[up[0]]
        for at in up[1:]:
            joined = joined.join(self.before[at])
        self._arrive(way[1], joined, way[0])
        self._flow()
        return self._reached(way[0])

    def _orphan(self, function: Function, jump: int) -> tuple[int, Way] | None:
        """The first instruction nobody reaches that is no padding, and how *jump* gets there."""
        code = self._unreached.setdefault(function.start, list(self.reading.of(function).values()))
        code[:] = [fact for fact in code if not self._reached(fact.address) and fact.mnemonic not in _PADDING]
        for fact in code:
            way = self.ways.enter(fact.address, jump)
            if not isinstance(way.to, End):
                return fact.address, way
        return None

    def _reached(self, old: int) -> bool:
        """Whether the walk came to what stands for *old*, or is in place of it."""
        return old in self.before or (old in self.passed and self.pair.place(old) is None)

    def _enter(self, old: int, state: State) -> None:
        """Control comes, in the new image, to where what stood at *old* is entered."""
        self._arrive(self.ways.enter(old), state, old)

    # -- along the ways -----------------------------------------------------------------------------------

    def _flow(self) -> None:
        changed = self.pair.changed
        while self._open:
            at: int | None = self._open.pop()
            while at is not None:
                fact = self.reading.at(at)
                if fact is None:
                    break
                state = self.before[at]
                if fact.kind is Kind.OTHER and at not in changed and fact.end not in changed:
                    at = self._on(fact, state)
                    continue
                if self.pair.place(at) is not None:
                    self._leave(fact, state)
                break

    def _on(self, fact: Fact, state: State) -> int | None:
        """Straight on behind *fact*, all of it where it always was; None if nothing new comes of it."""
        behind = after(self.arch, self.reading, fact, state)
        end = fact.end
        known = self.before.get(end)
        new = behind if known is None else known.join(behind)
        if new == known or end in self.seeds:
            return None
        self.before[end] = new
        return end

    def _leave(self, fact: Fact, state: State) -> None:
        """One instruction's ways.  Nothing falls into a function that is called: what seems to is behind a call that
        does not return."""
        match fact.kind:
            case Kind.RETURN:
                self._ended(state, fact.address, "returns without a pop")
            case Kind.INDIRECT if self.reading.home[fact.address] < 0:
                self._ended(state, fact.address, "jumps out of the function without a pop")
            case Kind.INDIRECT:
                self._indirect.setdefault(self.reading.home[fact.address], set()).add(fact.address)
            case Kind.CALL:
                self._call(fact, state)
                if fact.target is not None:
                    self._called(fact)
                self._throw(fact, state._replace(lr=False))
            case Kind.JUMP | Kind.BRANCH:
                if fact.target is not None:
                    self._jump(fact, self.ways.taken(fact), state)
        last = fact.kind in {Kind.CALL, Kind.SYSCALL} and self._last(fact)
        if fact.falls and fact.end not in self.seeds and not last:
            self._arrive(self.ways.behind(fact), after(self.arch, self.reading, fact, state), fact.address)

    def _throw(self, fact: Fact, state: State) -> None:
        """An exception thrown by the call *fact* goes to its landing pad."""
        site = pad_of(self.pads, fact.end)
        if site is not None:
            self._arrive(self.ways.enter(site.landing_pad), state, fact.address)

    def _last(self, fact: Fact) -> bool:
        """Whether nothing comes back from the call *fact*: its function ends there, or what it calls never returns."""
        home = self.pair.old.function_at(fact.address)
        return fact.target in self.noreturn or (home is not None and fact.end >= home.end)

    def _call(self, fact: Fact, state: State) -> None:
        if self.reading.home[fact.address] not in self.pushing or fact.target in self.noreturn:
            return
        if state.pushed is False and fact.target != fact.end:
            self._wrong(fact.address, "calls while its return address is not on the shadow stack")

    def _called(self, fact: Fact) -> None:
        """The function that is called, or jumped to at the end, is entered where it now is."""
        way = self.ways.taken(fact)
        if way.events:
            self._arrive(way, ENTERED, fact.address)

    def _jump(self, fact: Fact, way: Way, state: State) -> None:
        """A direct jump; out of the function it is a tail call if the frame is down, else it goes on elsewhere."""
        home = self.pair.old.function_at(fact.address)
        inside = home is not None and fact.target is not None and home.start <= fact.target < home.end
        outside = fact.target is None or self.reading.at(fact.target) is None
        if not inside and (outside or fact.target in self.seeds):
            if not outside and (self.silent or not state.pushed):
                self._called(fact)
            passed = self._pass(way.events, state) if outside else state
            self._ended(passed, fact.address, "jumps out of the function without a pop")
        elif not inside and self._begins(fact.target) and self._down(home, state) and (self.silent or not state.pushed):
            self._arrive(way, ENTERED, fact.address)  # a tail call: the frame is down, so the link register is as found
        else:
            self._arrive(way, state, fact.address)

    def _down(self, home: Function | None, state: State) -> bool:
        """No frame is up; the program's entry never has one to speak of, and nobody to return to."""
        return state.sp == 0 or (home is not None and home.start <= self.pair.old.entry < home.end)

    def _begins(self, old: int | None) -> bool:
        home = None if old is None else self.pair.old.function_at(old)
        return home is not None and home.start == old

    def _ended(self, state: State, at: int, what: str) -> None:
        if state.pushed and not self.silent:
            self._wrong(at, what)

    def _arrive(self, way: Way, state: State, at: int) -> None:
        """Follow *way* with *state*; *at* is the old address it comes from."""
        passed = self._pass(way.events, state)
        if way.to is End.RETURN:
            self._ended(passed, at, "returns without a pop")
        if isinstance(way.to, End):
            return
        known = self.before.get(way.to)
        new = passed if known is None else known.join(passed)
        if new != known:
            self.before[way.to] = new
            self._open.append(way.to)

    def _pass(self, events: tuple[Unit, ...], state: State) -> State:
        for unit in events:
            known = self.passed.get(unit.start)
            self.passed[unit.start] = state if known is None else known.join(state)
            if unit.what is What.PUSH:
                state = self._push(unit, state)
            elif unit.what is What.POP:
                state = self._pop(unit, state)
        return state

    def _push(self, unit: Unit, state: State) -> State:
        self._owner(self.pushing, unit)
        if state.pushed:
            self._wrong(unit.start, "pushes twice")
        if self.arch.lr is not None and not state.lr:
            self._wrong(unit.start, "pushes when x30 no longer holds the return address")
        self._sp(unit, state)
        return state._replace(pushed=True)

    def _pop(self, unit: Unit, state: State) -> State:
        self._owner(self.popping, unit)
        if state.pushed is False:
            self._wrong(unit.start, "pops what was not pushed")
        self._sp(unit, state)
        return popped(state)

    def _sp(self, unit: Unit, state: State) -> None:
        if self.at_entry_sp and state.sp not in {0, None}:
            self._wrong(unit.start, "uses the stack pointer where it is not what it was at entry")

    def _owner(self, those: set[int], unit: Unit) -> None:
        piece = self.pair.pieces.at(unit.start)
        home = self.pair.old.function_at(unit.start)
        if home is not None:
            those.add(home.start)
        elif piece is not None and piece.start in self.owners:
            those.add(self.owners[piece.start])

    def _wrong(self, at: int, what: str) -> None:
        self.found[at, what] = None

    def problems(self) -> Iterator[str]:
        """In words."""
        for at, what in sorted(self.found):
            yield f"{self.pair.within(at)}: {what}"


def walk(ways: Ways) -> Walk:
    """Walk everything; calls of functions that cannot return do not come back."""
    return Walk(ways, noreturn(ways.pair.reading)).run()
