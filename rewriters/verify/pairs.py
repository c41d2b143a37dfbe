"""Is every activation pushed once and popped once?  A walk over all code of the new image, from its own ways.

The original instructions are the nodes; where control goes between them, and which sequences it passes on the way, is
read from the new image.  Functions start with nothing pushed; a part of a function that others jump into goes on with
what they had.  Nothing is taken from what the rewriter thought of the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from lab.arch.decode import Kind
from lab.images.flow import decode_function, noreturn_functions
from lab.images.frame import Frame, step
from lab.images.image import Function
from lab.layout import Flavour
from rewriters.verify.facts import Fact
from rewriters.verify.templates import Templates
from rewriters.verify.units import Unit, What
from rewriters.verify.ways import End, Way, Ways


class State(NamedTuple):
    """Before an instruction: ``pushed`` (None: paths disagree); ``lr``: the link register holds the return address;
    SP and FP minus SP at entry (None: unknown)."""

    pushed: bool | None
    lr: bool
    sp: int | None
    fp: int | None

    def join(self, other: State) -> State:
        """What both paths agree on."""
        if self == other:
            return self
        return State(
            self.pushed if self.pushed == other.pushed else None,
            self.lr and other.lr,
            self.sp if self.sp == other.sp else None,
            self.fp if self.fp == other.fp else None,
        )


ENTERED = State(pushed=False, lr=True, sp=0, fp=None)
#: Fillers between blocks: unreached ones are no jump-table target.
_PADDING = frozenset({"nop", "nopw", "int3", "udf", "brk", "ud2"})


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

    def run(self) -> Walk:
        """Walk everything."""
        for start in sorted(self.seeds):
            self._enter(start, ENTERED)
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
        orphan = self._orphan(function)
        states = [self.before[at] for at in self._indirect[function.start] if at in self.before]
        if orphan is None or not states:
            return False
        up = [state for state in states if state.pushed is not False or state.sp != 0] or states
        joined = up[0]
        for state in up[1:]:
            joined = joined.join(state)
        self._enter(orphan, joined)
        if not self._reached(orphan):
            return False
        self._flow()
        return True

    def _orphan(self, function: Function) -> int | None:
        for fact in self.reading.of(function).values():
            idle = fact.mnemonic in _PADDING or fact.kind is Kind.UNDECODED
            if not idle and not self._reached(fact.address) and not isinstance(self.ways.enter(fact.address).to, End):
                return fact.address
        return None

    def _reached(self, old: int) -> bool:
        """Whether the walk came to what stands for *old*, or is in place of it."""
        return old in self.before or (old in self.passed and self.pair.place(old) is None)

    def _enter(self, old: int, state: State) -> None:
        """Control comes, in the new image, to where what stood at *old* is entered."""
        self._arrive(self.ways.enter(old), state, old)

    # -- along the ways -----------------------------------------------------------------------------------

    def _flow(self) -> None:
        while self._open:
            at = self._open.pop()
            state = self.before[at]
            fact = self.pair.old_fact(at)
            if fact is not None and self.pair.place(at) is not None:
                self._leave(fact, state)

    def _leave(self, fact: Fact, state: State) -> None:
        match fact.kind:
            case Kind.RETURN:
                self._ended(state, fact.address, "returns without a pop")
            case Kind.INDIRECT:
                home = self.pair.old.function_at(fact.address)
                if home is not None:
                    self._indirect.setdefault(home.start, set()).add(fact.address)
            case Kind.CALL:
                self._call(fact, state)
            case Kind.JUMP | Kind.BRANCH:
                if fact.target is not None:
                    self._jump(fact, self.ways.taken(fact), state)
        if fact.falls and not (fact.kind is Kind.CALL and self._last_call(fact)):
            self._arrive(self.ways.behind(fact), self._after(fact, state), fact.address)

    def _last_call(self, fact: Fact) -> bool:
        """Whether nothing comes back from the call *fact*: its function ends there, or what it calls never returns."""
        home = self.pair.old.function_at(fact.address)
        return fact.target in self.noreturn or (home is not None and fact.end >= home.end)

    def _after(self, fact: Fact, state: State) -> State:
        if fact.kind is Kind.CALL:
            return state._replace(lr=False)
        insn = self.reading.in_full(fact)
        if insn is None:
            return state
        frame = step(self.arch, insn, Frame(state.sp, state.fp))
        return State(state.pushed, state.lr and self.arch.lr not in insn.writes, frame.sp, frame.fp)

    def _call(self, fact: Fact, state: State) -> None:
        home = self.pair.old.function_at(fact.address)
        if home is None or home.start not in self.pushing or fact.target in self.noreturn:
            return
        if state.pushed is False and fact.target != fact.end:
            self._wrong(fact.address, "calls while its return address is not on the shadow stack")

    def _jump(self, fact: Fact, way: Way, state: State) -> None:
        """A direct jump; out of the function it is a tail call if the frame is down, else it goes on elsewhere."""
        home = self.pair.old.function_at(fact.address)
        inside = home is not None and fact.target is not None and home.start <= fact.target < home.end
        outside = fact.target is None or self.pair.old.function_at(fact.target) is None
        if not inside and (outside or fact.target in self.seeds):
            after = self._pass(way.events, state) if outside else state
            self._ended(after, fact.address, "jumps out of the function without a pop")
        elif not inside and self._begins(fact.target) and state.sp == 0 and (self.silent or not state.pushed):
            self._arrive(way, ENTERED, fact.address)  # a tail call: the frame is down, so the link register is as found
        else:
            self._arrive(way, state, fact.address)

    def _begins(self, old: int | None) -> bool:
        home = None if old is None else self.pair.old.function_at(old)
        return home is not None and home.start == old

    def _ended(self, state: State, at: int, what: str) -> None:
        if state.pushed and not self.silent:
            self._wrong(at, what)

    def _arrive(self, way: Way, state: State, at: int) -> None:
        """Follow *way* with *state*; *at* is the old address it comes from."""
        after = self._pass(way.events, state)
        if way.to is End.RETURN:
            self._ended(after, at, "returns without a pop")
        if isinstance(way.to, End):
            return
        known = self.before.get(way.to)
        new = after if known is None else known.join(after)
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
        return state._replace(pushed=False, lr=True)

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
    """Walk as if every call came back; where that is not consistent, believe that calls of functions which cannot
    return do not."""
    first = Walk(ways).run()
    if not first.found:
        return first
    old = ways.pair.old
    codes = {function.start: decode_function(old, function) for function in old.functions}
    return Walk(ways, noreturn_functions(codes)).run()
