"""New text taken apart: carried code, sequences, jumps, fillers.  What is none of these should not be there.

Every unit but carried code (which is compared with the original) is encoded anew, and the bytes compared.
"""

from __future__ import annotations

import bisect
import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.arch.decode import Kind
from lab.errors import EngineError, RefusedError
from lab.layout import InsertedRange, Region
from rewriters import encode
from rewriters.sequences import Binding, Emitted, Places, entry_stub
from rewriters.sites import Action
from rewriters.verify.facts import Fact, facts
from rewriters.verify.hooks import Hooks
from rewriters.verify.pair import Pair
from rewriters.verify.templates import Templates


class What(enum.Enum):
    """What a piece of new text is.  A closed set: match it to the end."""

    CARRIED = "carried"  # original code
    PUSH = "push"
    POP = "pop"
    JUMP = "jump"  # ours, unconditional
    NOP = "nop"  # filler that executes, or a landing pad
    TRAP = "trap"  # filler that must not
    AUTHENTICATE = "authenticate"  # the first half of an original retaa or retab
    RETURN = "return"  # ours: an original return whose site was overwritten, or the second half of a retaa
    HOOK = "hook"  # what setjmp and longjmp do with the shadow-stack pointer
    STUB = "stub"  # the entry stub


SEQUENCES = {Action.PUSH: What.PUSH, Action.POP: What.POP}


@dataclass(frozen=True, slots=True)
class Unit:
    """[start, end) of new text.  ``target``: of a jump; ``pieces`` and ``binding``: of a sequence; ``text``: of one
    instruction."""

    start: int
    end: int
    what: What
    target: int | None = None
    text: str = ""
    pieces: tuple[Emitted, ...] = ()
    binding: Binding | None = None


@dataclass
class Units:
    """All units by address, and what did not belong."""

    by_start: dict[int, Unit] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)

    def add(self, unit: Unit) -> None:
        """One more, in any order."""
        self.by_start[unit.start] = unit

    def owners(self, pair: Pair) -> dict[int, int]:
        """Start of each range of new text -> start of the function it serves: the one its carried code is from, or the
        one that jumps there."""
        found: dict[int, int] = {}
        for unit in self.by_start.values():
            if unit.what is What.CARRIED:
                carried = pair.places.holding(unit.start)
                place, old = unit.start, carried.old if carried is not None else -1
            elif unit.what is What.JUMP and unit.target is not None:
                place, old = unit.target, unit.start
            else:
                continue
            piece, home = pair.pieces.at(place), pair.old.function_at(old)
            if piece is not None and home is not None and (unit.what is What.CARRIED or place == piece.start):
                found[piece.start] = home.start
        return found

    def holding(self, address: int) -> Unit | None:
        """The unit that holds *address* (for messages and rows)."""
        if len(self._starts) != len(self.by_start):
            self._starts = sorted(self.by_start)
        index = bisect.bisect_right(self._starts, address) - 1
        found = self.by_start[self._starts[index]] if index >= 0 else None
        return found if found is not None and address < found.end else None


def take_apart(pair: Pair) -> Units:
    """Every inserted range of the new image, as units."""
    found = Units()
    reader = _Reader(pair, found)
    for piece in pair.map.inserted:
        if piece.function == "":
            reader.stub(piece)
        else:
            reader.read(piece)
    return found


_PADS = frozenset({"bti", "endbr64"})
_AUTHENTICATES = frozenset({"autiasp", "autibsp"})


class _Reader:
    def __init__(self, pair: Pair, found: Units) -> None:
        self.pair, self.arch, self.found = pair, pair.arch, found
        self.templates = Templates(pair.arch, pair.map.layout)
        self.hooks = Hooks(pair.arch, pair.map.layout)

    def wrong(self, text: str) -> None:
        self.found.problems.append(text)

    def stub(self, piece: InsertedRange) -> None:
        """The entry stub: exactly what sets this layout's pointer up and goes to the old entry."""
        layout = self.pair.map.layout
        places = Places(layout.base, layout.cell or 0, self.pair.old.entry)
        wanted = b"".join(p.raw for p in entry_stub(self.arch, layout.flavour, piece.start, places))
        if self.pair.new.read(piece.start, piece.end - piece.start) != wanted:
            self.wrong(f"the entry stub at {piece.start:#x} does not set this layout up and go to the old entry")
        self.found.add(Unit(piece.start, piece.end, What.STUB, self.pair.old.entry))

    def read(self, piece: InsertedRange) -> None:
        """One inserted range, carried pieces left as they are."""
        at = piece.start
        for start, end in self._carried(piece):
            self._own(piece, at, start)
            self.found.add(Unit(start, end, What.CARRIED))
            at = end
        self._own(piece, at, piece.end)

    def _carried(self, piece: InsertedRange) -> Iterator[tuple[int, int]]:
        places = self.pair.places
        at = bisect.bisect_left(places.by_new, piece.start, key=lambda carried: carried.new)
        for carried in places.by_new[at:]:
            if carried.new >= piece.end:
                return
            yield carried.new, carried.new + carried.new_size

    def _own(self, piece: InsertedRange, start: int, end: int) -> None:
        """[start, end) of our own making."""
        if start >= end:
            return
        code = self.pair.new.read(start, end - start)
        read = list(facts(self.arch, code, start))
        at = 0
        while at < len(read):
            at += self._unit(piece, read, at)

    def _unit(self, piece: InsertedRange, read: list[Fact], at: int) -> int:
        """Add the unit at index *at* of *read*; how many instructions it has."""
        fact = read[at]
        if self.templates.starts.match(fact.text) and (length := self._sequence(read, at)):
            return length
        if length := self._hook(piece, read, at):
            return length
        what = self._single(piece, fact)
        if what is None:
            kind = "undecodable bytes" if fact.kind is Kind.UNDECODED else f"'{fact.text}'"
            self.wrong(f"{kind} at {self.pair.within(fact.address)} is no sequence of this flavour and policy")
            what = What.TRAP
        self.found.add(Unit(fact.address, fact.end, what, fact.target, fact.text))
        return 1

    def _sequence(self, read: list[Fact], at: int) -> int:
        match = self.templates.match(read, at)
        if match is None:
            return 0
        action, what, binding = match
        first, last = read[at], read[at + len(what.lines) - 1]
        pieces = self.templates.encode(what, first.address, binding)
        if b"".join(p.raw for p in pieces) != self.pair.new.read(first.address, last.end - first.address):
            self.wrong(f"the {action.value} at {self.pair.within(first.address)} reads right and is encoded otherwise")
        elif not self._scratch(binding):
            self.wrong(f"the {action.value} at {self.pair.within(first.address)} uses {', '.join(binding.scratch)}")
        unit = Unit(first.address, last.end, SEQUENCES[action], None, "", pieces, binding)
        self.found.add(unit)
        return len(what.lines)

    def _scratch(self, binding: Binding) -> bool:
        """Whether the registers used are among those a call may destroy, and are different ones."""
        return set(binding.scratch) <= SCRATCH[self.arch.name] and len(set(binding.scratch)) == len(binding.scratch)

    def _single(self, piece: InsertedRange, fact: Fact) -> What | None:
        """One instruction of ours, by its kind."""
        if piece.region is Region.DEAD:
            return What.TRAP if fact.kind is Kind.TRAP else None
        if fact.kind is Kind.JUMP and fact.target is not None:
            return What.JUMP if self._jump(fact) else None
        if fact.kind is Kind.TRAP:
            return What.TRAP
        if fact.text == "nop":
            return What.NOP if piece.region is Region.INSERTED else None
        if fact.mnemonic in _PADS:
            return What.NOP
        if fact.mnemonic in _AUTHENTICATES:
            return What.AUTHENTICATE
        return What.RETURN if fact.text == "ret" else None

    def _jump(self, fact: Fact) -> bool:
        """Whether the jump is encoded as we do."""
        assert fact.target is not None
        try:
            raw, _ = encode.jump(self.arch, fact.address, fact.target)
        except (EngineError, RefusedError):
            return False
        return raw == self.pair.new.read(fact.address, fact.size)

    def _hook(self, piece: InsertedRange, read: list[Fact], at: int) -> int:
        """The length of a hook that begins here; only trampolines have any."""
        if piece.region is not Region.TRAMPOLINE:
            return 0
        length = self.hooks.match(read, at)
        if length:
            self.found.add(Unit(read[at].address, read[at + length - 1].end, What.HOOK))
        return length


#: Registers a function may change before it begins and after it ends: neither arguments, results nor saved ones.
SCRATCH = {
    "aarch64": frozenset({f"x{i}" for i in range(9, 18)}),
    "x86_64": frozenset({"r10", "r11"}),
}
