"""What code and data name, other than where code goes: what they named, or the new place of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from lab.layout import Patched
from lab.metadata.cfi import Frames
from rewriters.unwind import read_frames
from rewriters.verify.carried import constants
from rewriters.verify.facts import Fact, facts
from rewriters.verify.meaning import named
from rewriters.verify.ways import Ways

_PAGE = ~0xFFF
_LOW = re.compile(r"add (x\d+), (x\d+), #(0x[0-9a-f]+|\d+)$")
_ADRP = re.compile(r"adrp (x\d+), #(0x[0-9a-f]+|\d+)$")
#: Instructions between an ``adrp`` and what completes the address.
_NEAR = 64


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
        entries = {new.address + entry.offset for entry in (*new.cies, *new.fdes, *new.dropped)} | {
            new.address + new.end
        }
        behind_old = [fde.start for fde in old.fdes if old.address + fde.offset >= was]
        behind_new = [fde.start for fde in new.fdes if new.address + fde.offset >= now]
        left = [start for start in behind_old if start in set(behind_new)]
        return now in entries and behind_new[: len(left)] == left

    def check(self) -> Iterator[str]:
        """Everything the map says or comparing found."""
        for new, was, now in self.carriage.references:
            if not self.leads(now, was):
                yield f"the code at {self.pair.within(new)} names {now:#x}, the original {self.pair.old.locate(was)}"
        renamed = {old.address: (old, new) for old, new in self.carriage.renamed}
        for old, new in self.carriage.renamed:
            if problem := self._renamed(old, new, renamed):
                yield f"'{new.text}' at {self.pair.within(new.address)}, originally '{old.text}': {problem}"
        for entry in self.pair.map.patched:
            yield from self._patched(entry)

    def _renamed(self, old: Fact, new: Fact, renamed: dict[int, tuple[Fact, Fact]]) -> str:
        """Why the part of an address that changed from *old* to *new* is wrong ("" = it is right)."""
        if old.mnemonic == "adrp":
            return (
                "" if any(self._completes(old, fact) for fact, _ in renamed.values()) else "nothing uses the new page"
            )
        low, again = _LOW.match(old.text), _LOW.match(new.text)
        if self.pair.arch.lr is not None and low and again:
            page = self._page_of(old, low[2])
            if page is None:
                return "no adrp before it"
            was = _number(page, _ADRP) + int(low[3], 0)
            now = _number(renamed.get(page.address, (page, page))[1], _ADRP) + int(again[3], 0)
            return "" if self.leads(now, was) else f"it forms {now:#x}, the original {self.pair.old.locate(was)}"
        changed = constants(old.text, new.text)
        if changed is None or not self.leads(changed[1], changed[0]):
            return "another number"
        return ""

    def _completes(self, page: Fact, low: Fact) -> bool:
        match = _LOW.match(low.text)
        return match is not None and self._page_of(low, match[2]) == page

    def _page_of(self, low: Fact, register: str) -> Fact | None:
        """The nearest ``adrp`` of *register* before *low* in its function."""
        home = self.pair.old.function_at(low.address)
        at = low.address
        for _ in range(_NEAR):
            at -= 4
            if home is None or at < home.start:
                return None
            fact = self.pair.old_fact(at)
            if fact is not None and (match := _ADRP.match(fact.text)) and match[1] == register:
                return fact
        return None

    def _patched(self, entry: Patched) -> Iterator[str]:
        """One entry of the map: the bytes say what it says, and what it names now stands for what it named."""
        pair = self.pair
        said = f"{pair.old.locate(entry.address)} is said to name {entry.new:#x} instead of {entry.old:#x}"
        if not self.leads(entry.new, entry.old):
            yield f"{said}, which does not stand for it"
        fact = pair.old_fact(entry.address)
        if fact is not None and fact.size == entry.size:
            if not self._says(fact, entry):
                yield f"{said}, and does not"
            return
        if pair.old.function_at(entry.address) is not None or entry.size > 8:
            yield f"{said}, and is neither an instruction nor a word of data"
            return
        old, new = (int.from_bytes(i.read(entry.address, entry.size), "little") for i in (pair.old, pair.new))
        if (new - old - entry.new + entry.old) % (1 << 8 * entry.size):
            yield f"{said}, and its {entry.size} bytes do not change so"

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
