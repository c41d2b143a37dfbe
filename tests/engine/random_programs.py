"""Random guests: functions with and without frame records that smash the stack above SP and put it right again.

Everything is drawn from one linear congruential generator, so a seed names a program.  What a program
overwrites it saves in data first and restores in the opposite order; calls go to later functions only (one
may call itself a few times), loops count down from small numbers: every program ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from lab.images.image import Image
from tests.engine.random_texts import A64, X86, Texts
from tests.support import assemble

_T = TypeVar("_T")
#: Executed instructions a program may take, test_main's callers included.
MOST = 2_900
#: Bytes above test_main's frame at entry that surely belong to the stack (its caller's pt_regs).
_ABOVE = 160
_WIDTHS = (1, 2, 4, 8, 8, 16)


class _Random:
    """Knuth's MMIX generator; the upper half of the state is used."""

    def __init__(self, seed: int) -> None:
        self._state = seed
        for _ in range(4):
            self.below(1)

    def below(self, limit: int) -> int:
        """0 <= result < *limit*."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 32) * limit >> 32

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def pick(self, choices: Sequence[_T]) -> _T:
        return choices[self.below(len(choices))]

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent


class _Function:
    """One function's text, written from its first instruction to its last, and what executing it costs."""

    def __init__(self, maker: _Maker, name: str, known: dict[str, int]) -> None:
        self.maker, self.random, self.texts = maker, maker.random, maker.texts
        self.name, self.known = name, known
        step = self.texts.step
        self.size = step * self.random.between(2, 14 * 8 // step)
        self.at = step * self.random.below((self.size - 16) // step + 1)
        self.framed = self.random.chance(70)
        self.fp_valid = self.framed
        self.weight, self.cost = 1, 0
        self.lines: list[str] = []

    def emit(self, template: str, **fields: object) -> None:
        """Append a template's instructions; each is executed ``weight`` times."""
        for line in template.format(**fields).split(";"):
            self.lines.append(" " + line.strip())
            self.cost += self.weight

    def offset(self) -> int:
        """From SP into this frame, or into those above it."""
        high = self.size + _ABOVE - 16
        return self.random.below(self.size) if self.random.chance(50) else self.random.below(high)

    def whole(self, depth: int | None) -> str:
        """The function's text; *depth*: how deep it calls itself, None for one that does not."""
        prologue, epilogue = self.texts.record if self.framed else self.texts.bare
        self.emit(prologue, size=self.size, at=self.at)
        if depth is not None:
            self.emit(self.texts.recursion, label=1, target=self.name)
        self.operations(self.random.between(2, 5), nesting=0, calls=depth is None)
        if self.name == "test_main":
            self.emit(self.texts.zero)
        self.emit(epilogue, size=self.size, at=self.at)
        self.cost *= depth or 1
        return f"FUNC {self.name}\n" + "\n".join(self.lines) + f"\nEND {self.name}\n"

    def operations(self, count: int, nesting: int, *, calls: bool) -> None:
        for _ in range(count):
            roll = self.random.below(10)
            if roll < 4 and nesting < 3:
                self.smash(nesting, calls=calls)
            elif roll < 6 and calls:
                self.call()
            elif roll < 7 and nesting < 2 and calls:
                self.clobber(nesting, calls=calls)
            elif roll < 8 and nesting < 1 and calls:
                self.loop(nesting)
            else:
                self.filler()

    def filler(self) -> None:
        self.emit(self.random.pick(self.texts.fillers), n=16 * self.random.between(1, 4))

    def smash(self, nesting: int, *, calls: bool) -> None:
        """Save 16 bytes, overwrite some of them, go on, restore."""
        random, texts, off, kept = self.random, self.texts, self.offset(), self.maker.keep()
        width = random.pick(_WIDTHS)
        if not random.chance(30):
            off -= off % min(width, 8)
        self.emit(texts.save, off=off, kept=kept)
        self.emit(random.pick(texts.values), n=random.between(1, 9))
        if self.fp_valid and random.chance(40):
            origin = self.at if texts.pushed == 0 else self.size - 8
            self.emit(random.pick(texts.fp_stores[width]), fp=off - origin)
        else:
            self.emit(random.pick(texts.stores[width]), off=off)
        self.operations(random.between(1, 3), nesting + 1, calls=calls)
        self.emit(random.pick(texts.restores), off=off, kept=kept, label=3)

    def clobber(self, nesting: int, *, calls: bool) -> None:
        """FP becomes something else for a while."""
        kept, before = self.maker.keep(), self.fp_valid
        self.emit(self.texts.save_fp, kept=kept)
        self.emit(self.random.pick(self.texts.fp_values), n=self.random.between(1, 40))
        self.fp_valid = False
        self.operations(self.random.between(1, 3), nesting + 1, calls=calls)
        self.fp_valid = before
        self.emit(self.texts.restore_fp, kept=kept)

    def loop(self, nesting: int) -> None:
        kept, rounds = self.maker.keep(), self.random.between(2, 4)
        start, end = self.texts.loop
        self.emit(start, kept=kept, n=rounds, label=2)
        self.weight = rounds
        self.operations(self.random.between(1, 3), nesting + 1, calls=True)
        self.emit(end, kept=kept, label=2)
        self.weight = 1

    def call(self) -> None:
        """A call of a later function, if there is one that is cheap enough."""
        room = MOST // (4 * self.weight) - self.cost // self.weight
        fits = [name for name, cost in self.known.items() if cost < room]
        if not fits:
            return
        target = self.random.pick(fits)
        if target == "again":
            self.emit(self.texts.depth, n=self.maker.depth)
        self.emit(self.texts.call, target=target)
        self.cost += self.weight * self.known[target]


class _Maker:
    def __init__(self, texts: Texts, seed: int) -> None:
        self.texts, self.random = texts, _Random(seed)
        self.depth = self.random.between(2, 9)
        self._kept = 0

    def keep(self) -> str:
        """A new place for 16 bytes."""
        self._kept += 1
        return f"kept + {16 * self._kept}"

    def text(self) -> str:
        """The whole program's: callees first, so that their costs are known."""
        known: dict[str, int] = {}
        text = ""
        names = ["again", *(f"f{n}" for n in range(self.random.between(2, 5))), "test_main"]
        for name in names:
            function = _Function(self, name, dict(known))
            text += function.whole(self.depth if name == "again" else None)
            known[name] = function.cost
        return text + f" .bss\n .balign 16\nkept: .skip {16 * self._kept + 32}\n"


def random_text(arch_name: str, seed: int) -> str:
    """The assembly text of ``random_program``."""
    return _Maker({"aarch64": A64, "x86_64": X86}[arch_name], seed).text()


def random_program(arch_name: str, seed: int) -> Image:
    """A guest that depends on *seed* alone, ends with status 0 and executes at most some 3,000 instructions."""
    return assemble(arch_name, random_text(arch_name, seed))
