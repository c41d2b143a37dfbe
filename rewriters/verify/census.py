"""Every function is instrumented, or left out with a reason; and the counts are those of the new image."""

from __future__ import annotations

from collections.abc import Iterator

from lab.images.image import Function
from rewriters.verify.pairs import Walk


def check_census(walk: Walk) -> Iterator[str]:
    """Compare the map's census with what the walk found."""
    pair, census = walk.pair, walk.pair.map.census
    functions = pair.old.functions
    if census.functions != len(functions):
        yield f"the census counts {census.functions} functions, the image has {len(functions)}"
    touched = walk.pushing | walk.popping
    excused = _excused(walk, touched)
    counted = 0
    for function in functions:
        start = function.start
        if start in touched and start in excused:
            yield f"{function.name} is left out ({excused[start]}) and instrumented all the same"
        elif start in touched or (start not in excused and _goes_on(walk, start)):
            counted += 1
        elif start not in excused:
            yield f"{function.name} is neither instrumented nor left out with a reason"
    if counted != census.instrumented:
        yield f"the census counts {census.instrumented} instrumented functions, the new image has {counted}"


def _excused(walk: Walk, touched: set[int]) -> dict[int, str]:
    """Functions (by start) the census leaves out, with the reason.  What names a place inside an instrumented function
    speaks of that place only."""
    found: dict[int, str] = {}
    named: dict[str, list[Function]] = {}
    for function in walk.pair.old.functions:
        for name in function.names:
            named.setdefault(name, []).append(function)
    for out in walk.pair.map.census.left_out:
        homes = [f for f in named.get(out.function, []) if f.start <= out.address <= f.end]
        if homes and (homes[-1].start not in touched or out.address == homes[-1].start):
            found.setdefault(homes[-1].start, out.reason)
    return found


def _goes_on(walk: Walk, start: int) -> bool:
    """Whether the function at *start* is a part of others that runs with their entry pushed."""
    state = walk.before.get(start)
    return state is not None and bool(state.pushed)
