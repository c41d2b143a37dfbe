"""Indirect jumps: jump tables or tail calls?  And what they, and exceptions, lead to.

A jump with the frame up stays inside.  With SP back at its entry value an address computed from registers, or loaded
from an array of the function's own addresses, is a table's; a pointer loaded or passed is a tail call's.
"""

from __future__ import annotations

import re

from lab.images.image import Image
from rewriters.census.origins import Made, Origin, Origins
from rewriters.census.scan import Flow
from rewriters.census.track import ALIGNED, State, Track
from rewriters.census.unit import Unit

_POINTERS = frozenset({Made.ENTRY, Made.LOAD, Made.MIXED, Made.FRAME, Made.CALL, Made.ADDRESS, Made.CONSTANT})
#: An array of addresses at a fixed place, as x86-64 code that does not move indexes it.
_ARRAY = re.compile(r"\[(?:r\w+\*8)(?: \+ (0x[0-9a-f]+))?\]$")


def solve(image: Image, unit: Unit) -> Track:
    """Track *unit* until jump tables and landing pads lead to all they can."""
    track = Track(unit, Origins(image, unit), image.arch.call_pushes)
    for place in unit.places:
        if place.function.start not in unit.fragments:
            track.seed(place.low, (0, None, True))
    track.flow()
    while orphans := track.orphans():
        track.tables |= _tables(track, orphans=True)
        if track.tables:
            _lead(track, orphans)
        elif not _land(track, orphans):
            break
        track.flow()
    track.tables |= _tables(track, orphans=False)
    return track


def _lead(track: Track, orphans: list[int]) -> None:
    """All tables of the unit lead to *orphans*."""
    track.leaders += orphans
    for node in track.tables:
        for leader in orphans:
            track.origins.leaders.setdefault(leader, []).append(track.unit.events[node])
    track.pending += track.tables


def _land(track: Track, orphans: list[int]) -> bool:
    """*orphans* of functions with landing pads are those: an exception in any call leads there, in the state at the
    call.  False if there is none."""
    found = False
    for orphan in orphans:
        place = track.unit.place_of(orphan)
        if place is None or not place.pads:
            continue
        for node, index in enumerate(track.unit.events):
            state = track.before[node]
            if place.low <= index < place.high and state is not None and calls(track.unit, index):
                found = True
                track.lands.append((index, orphan))
                track.origins.leaders.setdefault(orphan, []).append(index)
                track.seed(orphan, (state[0], state[1], state[2] and bool(track.call_pushes)))
    return found


def _tables(track: Track, *, orphans: bool) -> set[int]:
    """Reached indirect jumps that are jump tables; *orphans*: there is code for them to lead to."""
    found = set()
    for node, index in enumerate(track.unit.events):
        state = track.before[node]
        if state is None or track.unit.scan.flows[index] != Flow.INDIRECT:
            continue
        if _frame_up(state) or _own_array(track, index) or (orphans and state[0] == 0 and _computed(track, index)):
            found.add(node)
    return found


def _frame_up(state: State) -> bool:
    """Whether the function's frame is certainly up: SP below its entry value, or (where that is not known, as after
    alloca) FP still the function's own and not its caller's."""
    sp, fp, _ = state
    return fp is not None if sp is None else sp < 0 or sp > ALIGNED // 2


def _made(track: Track, index: int) -> frozenset[Origin]:
    register = track.unit.scan.branch_register[index]
    return frozenset() if register is None else track.origins.of(index, register)


def _computed(track: Track, index: int) -> bool:
    made = _made(track, index)
    return bool(made) and all(origin.made is Made.SUM for origin in made)


def _own_array(track: Track, index: int) -> bool:
    """Whether the jump goes through an array whose first entry is an address inside the unit, other than an entry."""
    if track.unit.scan.branch_register[index] is not None:
        return False
    match = _ARRAY.search(track.origins.insn(index).op_str)
    if match is None:
        return False
    first = track.origins.word(int(match[1] or "0", 16))
    return any(p.function.start < first < p.function.end for p in track.unit.places)


def is_pointer(track: Track, node: int) -> bool:
    """Whether the jump at *node*, with SP back at its entry value, can only go through a pointer."""
    index = track.unit.events[node]
    if track.unit.scan.branch_register[index] is None:
        return True
    pointers = _POINTERS | {Made.SUM} if _torn_down(track, node) else _POINTERS
    made = _made(track, index)
    return bool(made) and all(origin.made in pointers for origin in made)


def _torn_down(track: Track, node: int) -> bool:
    """Whether the frame comes down on the straight way to *node*: no jump table follows an epilogue."""
    unit = track.unit
    for back in range(node - 1, -1, -1):
        index = unit.events[back]
        if unit.owner[back] != unit.owner[node] or unit.scan.flows[index] != Flow.NONE:
            return False
        before, after = track.before[back], track.before[back + 1]
        if before and after and before[0] != 0 and after[0] == 0:
            return True
    return False


def calls(unit: Unit, index: int) -> bool:
    """Whether the instruction at *index* is a call."""
    return unit.scan.flows[index] in {Flow.CALL, Flow.CALL_INDIRECT}
