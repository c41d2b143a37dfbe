"""Mutants of memory: one word that unwinders may read is overwritten at run time, as by an errant store.

The word is overwritten before an instruction drawn at random, each of the run with equal chance, and restored before
the next instruction that touches it: the program does not notice, and every stop in between sees the wrong word.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.engine.plan import Plan, Poke, shadow_pointer
from lab.engine.reference import ReferenceEngine
from lab.layout import Flavour
from lab.mutation.api import At, Loaded, Mutated, no_such
from lab.mutation.ground import Ground
from lab.selftest.cases import LIMITS
from lab.unwind.api import MASK64, Regs

KIND = "memory"
_TRIES = 8
"""Instants looked at for each mutant wanted: at some, nothing of the kind is live."""
_LONGEST = 1 << 16
"""Records followed at one instant."""


@dataclass
class Live:
    """The words that are live at one instant, each (address, value), innermost first; ``frames`` the FPs of records."""

    fps: list[tuple[int, int]] = field(default_factory=list)
    returns: list[tuple[int, int]] = field(default_factory=list)
    shadow: list[tuple[int, int]] = field(default_factory=list)
    pointer: list[tuple[int, int]] = field(default_factory=list)
    truth: tuple[int, ...] = ()


class Looker(ReferenceEngine):
    """A run without unwinders that looks at the stack at some instants."""

    def __init__(self, ground: Ground, instants: frozenset[int]) -> None:
        super().__init__(ground.image, ground.rewrite, Plan((), ("boundary",), LIMITS, 0))
        self._instants, self.seen = instants, dict[int, Live]()

    def _boundary_stop(self, regs: Regs) -> None:
        if self._instructions - 1 in self._instants:
            self.seen[self._instructions - 1] = self._look(regs)

    def look(self) -> dict[int, Live]:
        """Run to the end: what was live at each instant."""
        self.machine.execute(self._instruction)
        return self.seen

    def _look(self, regs: Regs) -> Live:
        found = Live(truth=self.truth.trace())
        live, load, strip = set(found.truth), self._word, self.machine.arch.strip
        fp, low = regs.fp, regs.sp
        while low <= fp <= self._high - 16 and fp & 7 == 0 and len(found.fps) < _LONGEST:
            if strip(load(fp + 8)) in live:
                found.fps.append((fp, load(fp)))
                found.returns.append((fp + 8, load(fp + 8)))
            low, fp = fp + 16, load(fp)
        pushed = self.machine.arch.call_pushes
        if pushed:  # where every call has stored its own return address, the record is not asked
            at = [activation.sp_at_call - pushed for activation in self.truth.activations()]
            found.returns = [(address, load(address)) for address in at]
        self._look_at_shadow(regs, found)
        return found

    def _look_at_shadow(self, regs: Regs, found: Live) -> None:
        layout, strip = self.machine.layout, self.machine.arch.strip
        if layout is None:
            return
        low, high = self.machine.shadow_bounds
        if layout.flavour is Flavour.PARALLEL:
            shift = (layout.distance or 0) + self.machine.arch.call_pushes
            words = [activation.sp_at_call - shift for activation in self.truth.activations()]
        else:
            words = list(range(shadow_pointer(self.machine, regs.ssp) - 8, low - 8, -8))
        kept = [(address, self._word(address)) for address in words if low <= address <= high - 8]
        found.shadow = [(address, value) for address, value in kept if strip(value) in found.truth]
        if layout.cell is not None:
            found.pointer = [(layout.cell, self._word(layout.cell))]

    def _word(self, address: int) -> int:
        return self.machine.memory.load(address) or 0


Values = Callable[[Ground, Live, tuple[int, int], random.Random], int]
"""(ground, what is live, the word's address and value, chance) -> what the errant store leaves."""


def wrong_fp(_ground: Ground, live: Live, word: tuple[int, int], chance: random.Random) -> int:
    """0, 16 bytes beside it, the FP that the next record holds, or anything."""
    further = live.fps[min(live.fps.index(word) + 1, len(live.fps) - 1)][1]
    return chance.choice((0, (word[1] + 16) & MASK64, further, chance.getrandbits(64)))


def wrong_address(ground: Ground, live: Live, word: tuple[int, int], chance: random.Random) -> int:
    """0, another live return address, a function's entry, or one of the low 20 bits flipped."""
    function = chance.choice(ground.image.functions).start
    return chance.choice((0, chance.choice(live.truth), function, word[1] ^ 1 << chance.randrange(20)))


def wrong_pointer(_ground: Ground, _live: Live, word: tuple[int, int], chance: random.Random) -> int:
    """One entry too many or too few."""
    return (word[1] + chance.choice((-8, 8))) & MASK64


def _end(ground: Ground, address: int, instant: int) -> int | None:
    """The instruction before which a word overwritten before instruction number *instant* is restored.  None where that
    one touches it, or the one before has: what a call has just pushed is compared with what it should push."""
    first = ground.trace.next_access(address, max(0, instant - 1))
    return first if first > instant else None


@dataclass(frozen=True)
class WordOperator:
    """``words``: which words of what is live.  A mutant's numbers: the instant (an instruction's number from 0), the
    word's address, what is written, and what was there."""

    name: str
    bug: str
    words: Callable[[Live], list[tuple[int, int]]]
    values: Values

    def draw(self, ground: Ground, chance: random.Random, count: int) -> Sequence[At]:
        """See ``Operator``: instants with equal chance, then one of the words that are live there, then the value."""
        total = len(ground.trace.pcs)
        instants = chance.sample(range(total), min(total, _TRIES * count))
        seen = Looker(ground, frozenset(instants)).look()
        found: list[At] = []
        for instant in instants:
            words = self.words(seen[instant]) if instant in seen else []
            if len(found) == count or not words:
                continue
            address, old = word = chance.choice(words)
            new = self.values(ground, seen[instant], word, chance)
            if new != old and _end(ground, address, instant) is not None:
                found.append((instant, address, new, old))
        return found

    def apply(self, ground: Ground, at: At) -> Mutated:
        """See ``Operator``."""
        if len(at) != 4 or not 0 <= at[0] < len(ground.trace.pcs) or any(not 0 <= n <= MASK64 for n in at):
            raise no_such(ground, at)
        instant, address, new, old = at
        end = _end(ground, address, instant)
        if end is None:
            raise no_such(ground, at)
        pokes = (Poke(instant, address, new.to_bytes(8, "little")), Poke(end, address, old.to_bytes(8, "little")))
        pc = ground.trace.pcs[instant]
        what = f"{self.name}: [{address:#x}] = {new:#x}, was {old:#x}, for instructions {instant}..{end - 1}"
        what += f", from {ground.image.locate(pc)} on"
        return Mutated(ground.image, Loaded(address, instant, end), ground.function(pc), what, pokes=pokes)


OPERATORS = (
    WordOperator("record-fp", "an errant store on the frame pointer of a frame record", lambda w: w.fps, wrong_fp),
    WordOperator("record-ra", "an errant store on a saved return address", lambda w: w.returns, wrong_address),
    WordOperator("shadow-slot", "an errant store on the shadow stack", lambda w: w.shadow, wrong_address),
    WordOperator("shadow-pointer", "a shadow pointer one entry off", lambda w: w.pointer, wrong_pointer),
)
