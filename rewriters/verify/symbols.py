"""Symbols: a function's name is at its code, before and after; new names are for new code."""

from __future__ import annotations

from collections.abc import Iterator

from lab.layout import NEW_TEXT, Region
from rewriters.sites import Ranges
from rewriters.verify.pair import IN_NEW_TEXT
from rewriters.verify.ways import Ways


def check_symbols(ways: Ways) -> Iterator[str]:
    """Every function symbol names the range it named, or the place it moved to; every new one lies in new text."""
    pair = ways.pair
    if pair.old.stripped:
        return
    now = {function.start: function for function in pair.new.functions if function.symbol}
    known = set()
    for function in pair.old.functions:
        if not function.symbol:
            continue
        start, end = _place(ways, function.start, function.end)
        found = now.get(start)
        known.add(start)
        if found is None or not set(function.names) <= set(found.names):
            yield f"no symbol {function.name} is at {start:#x}, where its code is"
        elif found.end != end:
            yield f"the symbol {function.name} ends at {found.end:#x}, its code at {end:#x}"
    ours = Ranges((p.start, p.end) for p in pair.map.inserted if p.region in IN_NEW_TEXT)
    section = pair.new.section(NEW_TEXT)
    if section is None and any(p.region in IN_NEW_TEXT for p in pair.map.inserted):
        yield f"the new text has no section {NEW_TEXT}"
    for start in sorted(set(now) - known):
        if start not in ours:
            yield f"the symbol {now[start].name} at {start:#x} names no code of the map"


def _place(ways: Ways, start: int, end: int) -> tuple[int, int]:
    """[start, end) of the code of the function that was there."""
    pair = ways.pair
    piece = pair.pieces.at(start)
    if piece is not None and piece.region in {Region.INSERTED, Region.DEAD}:
        for unit in ways.follow(start).events:
            home = None if unit.target is None else pair.pieces.at(unit.target)
            if home is not None and home.region is Region.MOVED:
                return home.start, home.end
    return start, end
