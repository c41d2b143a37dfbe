"""What code and data name, other than where code goes: what they named, or the new place of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from lab.layout import Patched, Region
from lab.metadata.cfi import Frames
from rewriters.unwind import read_frames
from rewriters.verify.carried import constants
from rewriters.verify.facts import Fact, facts
from rewriters.verify.meaning import named
from rewriters.verify.ways import Ways

_PAGE = ~0xFFF
_WORD = 8
_LOW = re.compile(r"add (x\d+), (x\d+), #(0x[0-9a-f]+|\d+)$")
_ADRP = re.compile(r"adrp (x\d+), #(0x[0-9a-f]+|\d+)$")


class References:
    """Judges changes of named addresses in one pair of images."""

    def __init__(self, ways: Ways) -> None:
        self.ways, self.pair = ways, ways.pair
        self.carriage = ways.carriage

    @cached_property
    def frames(self) -> tuple[Frames | None, Frames | None]:
        """The unwind tables before and after."""
        return read_frames(self.pair.old), read_frames(self.pair.new)

    def leads(self, now: int, was: int) -> bool:
        """Whether new address *now* stands for old address *was*: code that does the same, or an unwind entry."""
        if now == was:
            return True
        if self.pair.old.function_at(was) is not None and self.pair.old_fact(was) is not None:
            return self.ways.same(self.ways.follow(now), was)
        return self._entry(now, was)

    def _entry(self, now: int, was: int) -> bool:
        """Whether the unwind entries from *now* on begin with the first that is left of those from *was* on."""
        old, new = self.frames
        if old is None or new is None or not 0 <= was - old.address <= old.end:
            return False
        offsets = [cie.offset for cie in new.cies] + [fde.offset for fde in (*new.fdes, *new.dropped)]
        entries = {new.address + offset for offset in [*offsets, new.end]}
        behind_old = [fde.start for fde in old.fdes if old.address + fde.offset >= was]
        behind_new = [fde.start for fde in new.fdes if new.address + fde.offset >= now]
        left = [start for start in behind_old if not self._moved(start)]
        return now in entries and behind_new[: len(left)] == left

    def _moved(self, start: int) -> bool:
        """Whether the function at *start* stands elsewhere now."""
        piece = self.pair.pieces.at(start)
        return piece is not None and any(
            unit.target is not None and (home := self.pair.pieces.at(unit.target)) and home.region is Region.MOVED
            for unit in self.ways.follow(start).events
        )

    def check(self) -> Iterator[str]:
        """Everything the map says or comparing found."""
        for at, was, now in self.carriage.references:
            if not self.leads(now, was):
                yield f"the code at {self.pair.within(at)} names {now:#x}, the original {self.pair.old.locate(was)}"
        renamed = {old.address: (old, new) for old, new in self.carriage.renamed}
        for old, new in self.carriage.renamed:
            if problem := self._renamed(old, new, renamed):
                yield f"'{new.text}' at {self.pair.within(new.address)}, originally '{old.text}': {problem}"
        for entry in self.pair.map.patched:
            yield from self._patched(entry)

    def _renamed(self, old: Fact, new: Fact, renamed: dict[int, tuple[Fact, Fact]]) -> str:
        """Why the part of an address that changed from *old* to *new* is wrong ("" = it is right)."""
        if old.mnemonic == "adrp":
            return "" if self._completed(old, _number(new, _ADRP), renamed) else "nothing uses the new page"
        low, again = _LOW.match(old.text), _LOW.match(new.text)
        if self.pair.arch.lr is not None and low and again:
            return self._low(old, int(low[3], 0), int(again[3], 0), renamed)
        changed = constants(old.text, new.text)
        return "" if changed is not None and self.leads(changed[1], changed[0]) else "another number"

    def _low(self, old: Fact, was: int, now: int, renamed: dict[int, tuple[Fact, Fact]]) -> str:
        """Low bits of an address changed from *was* to *now*: with a page before it they are the same thing's."""
        for page in self._pages(old):
            whole = _number(page, _ADRP) + was
            if self.leads(_number(renamed.get(page.address, (page, page))[1], _ADRP) + now, whole):
                return ""
        return "with no page before it is it what it was"

    def _completed(self, page: Fact, now: int, renamed: dict[int, tuple[Fact, Fact]]) -> bool:
        """Whether an ``add`` of the function of *page*, which is *now*, makes the two pages into the same thing."""
        home = self.pair.old.function_at(page.address)
        was = _number(page, _ADRP)
        for fact in [] if home is None else self.pair.reading.of(home).values():
            low = _LOW.match(fact.text)
            again = _LOW.match(renamed.get(fact.address, (fact, fact))[1].text)
            if low and again and self.leads(now + int(again[3], 0), was + int(low[3], 0)):
                return True
        return False

    def _pages(self, low: Fact) -> list[Fact]:
        """Every ``adrp`` of the function of *low*, first those of the register that *low* adds to (others may be copied
        into it)."""
        match, home = _LOW.match(low.text), self.pair.old.function_at(low.address)
        if match is None or home is None:
            return []
        pages = [fact for fact in self.pair.reading.of(home).values() if fact.text.startswith("adrp ")]
        return sorted(pages, key=lambda fact: not fact.text.startswith(f"adrp {match[2]}, "))

    def _patched(self, entry: Patched) -> Iterator[str]:
        """One entry of the map: the bytes say what it says, and what it names now stands for what it named."""
        pair = self.pair
        said = f"{pair.old.locate(entry.address)} is said to name {entry.new:#x} instead of {entry.old:#x}"
        if not self.leads(entry.new, entry.old):
            yield f"{said}, which does not stand for it"
        fact = pair.old_fact(entry.address) or self._stray(entry)
        if fact is not None and fact.size == entry.size:
            if not self._says(fact, entry):
                yield f"{said}, and does not"
            return
        if pair.old.function_at(entry.address) is not None or entry.size > _WORD:
            yield f"{said}, and is neither an instruction nor a word of data"
            return
        if not any(self._holds(entry, scale, signed) for scale in (1, 4) for signed in (False, True)):
            yield f"{said}, and its {entry.size} bytes do not change so"

    def _stray(self, entry: Patched) -> Fact | None:
        """The instruction at *entry* in code that belongs to no function (start files without symbols)."""
        if not any(s.executable and s.address <= entry.address < s.address + s.size for s in self.pair.old.sections):
            return None
        return next(facts(self.pair.arch, self.pair.old.read(entry.address, entry.size), entry.address))

    def _holds(self, entry: Patched, scale: int, signed: bool) -> bool:
        """Whether the word, which counts units of *scale* bytes from some base, changes as *entry* says, with the same
        base or the new place of it (0: a whole address; a table may stand relative to code)."""
        images = (self.pair.old, self.pair.new)
        words = (int.from_bytes(i.read(entry.address, entry.size), "little", signed=signed) for i in images)
        was, now = (named - scale * word for named, word in zip((entry.old, entry.new), words, strict=True))
        return was == now or self.leads(now, was)

    def _says(self, fact: Fact, entry: Patched) -> bool:
        """Whether the instruction *fact*, as it reads now, differs from the original as *entry* says."""
        code = self.pair.new.read(entry.address, entry.size)
        now = next(facts(self.pair.arch, code, entry.address))
        if fact.target is not None:
            return (fact.target, now.target) == (entry.old, entry.new)
        was, names = named(self.pair.arch, fact), named(self.pair.arch, now)
        if was is not None:
            whole, page = (entry.old, entry.new), (entry.old & _PAGE, entry.new & _PAGE)
            return (was, names) == (page if fact.mnemonic == "adrp" else whole)
        changed = constants(fact.text, now.text)
        low = (entry.old & ~_PAGE, entry.new & ~_PAGE)
        return changed in {(entry.old, entry.new), low if self.pair.arch.lr is not None else None}


def _number(fact: Fact, pattern: re.Pattern[str]) -> int:
    match = pattern.match(fact.text)
    assert match is not None, f"'{fact.text}' is no adrp"
    return int(match[2], 0)
