"""Costs by function and by class of function, and their distribution over function entries.

An *entry* of a function is an execution of its first instruction to which control did not come from within the function
other than by a call: calls, tail calls and falls from the function before count, loops back to the first
instruction do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

from lab.arch.decode import Kind, decode
from lab.cost.profile import Amounts, Profile, total
from lab.cost.sites import ENTRY_STUB, Pieces
from lab.images.image import Function, Image
from lab.layout import RewriteMap

RECURSIVE, TAIL_CALL, NON_LEAF, LEAF = CLASSES = ("recursive", "tail call", "non-leaf", "leaf")
"""Every executed function has one: the first that applies.  ``recursive``: on a circle of executed calls and tail
calls with a call in it;
``tail call``: was left by an executed jump to another function; ``non-leaf``: holds a call instruction, executed or
not."""
NOWHERE = "(no function)"
"""The function of code that no symbol names."""


@dataclass(frozen=True, slots=True)
class FunctionCost:
    """One function of the base image, by name (functions of one name are one), and what it executes in both images.

    ``after`` includes the code written for its sites, wherever that lies."""

    function: str
    kind: str
    entries: int
    base: Amounts
    after: Amounts

    @property
    def added_per_entry(self) -> Fraction | None:
        """Instructions added per entry; None for what was not entered."""
        return Fraction(self.after.instructions - self.base.instructions, self.entries) if self.entries else None


def function_costs(base: Profile, after: Profile, source: Image, rewrite: RewriteMap | None) -> list[FunctionCost]:
    """By name.  *source*: the image that was rewritten into *after*'s, or that itself."""
    kinds, entries = classes(base), count_entries(base)
    before = _by_function(base.at.items(), base.image, None)
    now = _by_function(after.at.items(), source, Pieces(rewrite) if rewrite else None)
    return [
        FunctionCost(name, kinds.get(name, ""), entries.get(name, 0), total(before[name]), total(now[name]))
        for name in sorted({*before, *now})
    ]


def distribution(costs: Iterable[FunctionCost]) -> dict[str, int]:
    """Instructions added per entry, exact (``7/2``: 3.5) -> entries, each at its function's mean; ascending."""
    found: dict[Fraction, int] = defaultdict(int)
    for cost in costs:
        if (added := cost.added_per_entry) is not None:
            found[added] += cost.entries
    return {str(added): found[added] for added in sorted(found)}


def classes(profile: Profile) -> dict[str, str]:
    """The class of each executed function, by name."""
    image = profile.image
    found: dict[str, str] = {}
    ways: dict[str, set[str]] = defaultdict(set)
    calls: set[tuple[str, str]] = set()
    tails: set[str] = set()
    for caller, callee, kind in _transfers(profile):
        if kind is Kind.CALL:
            calls.add((caller.name, callee.name))
        elif caller.start != callee.start:
            tails.add(caller.name)
        else:
            continue  # a loop
        ways[caller.name].add(callee.name)
    reach = {name: _reachable(ways, name) | {name} for name in {*ways, *chain.from_iterable(ways.values())}}
    again = {callee for caller, callee in calls if caller in reach[callee]}  # circles with a call, not of jumps alone
    for pc in profile.at:
        function = image.function_at(pc)
        if function is None or function.name in found:
            continue
        name = function.name
        if any(name in reach[other] and other in reach.get(name, ()) for other in again):
            found[name] = RECURSIVE
        elif name in tails:
            found[name] = TAIL_CALL
        else:
            found[name] = NON_LEAF if _calls(image, function) else LEAF
    return found


def count_entries(profile: Profile) -> dict[str, int]:
    """Entries of each executed function, by name."""
    found: dict[str, int] = defaultdict(int)
    starts = {function.start: function for function in profile.image.functions}
    for pc, amounts in profile.at.items():
        if pc in starts:
            found[starts[pc].name] += amounts.instructions
    for (origin, target), times in profile.edges.items():
        function = starts.get(target)
        if function and function.start <= origin < function.end and profile.insn(origin).kind is not Kind.CALL:
            found[function.name] -= times
    return dict(found)


def _transfers(profile: Profile) -> Iterator[tuple[Function, Function, Kind]]:
    """Executed calls and jumps to the first instruction of a function."""
    starts = {function.start for function in profile.image.functions}
    jumps = {Kind.CALL, Kind.JUMP, Kind.BRANCH, Kind.INDIRECT}
    for origin, target in profile.edges:
        kind = profile.insn(origin).kind
        caller, callee = profile.image.function_at(origin), profile.image.function_at(target)
        if kind in jumps and target in starts and caller and callee:
            yield caller, callee, kind


def _reachable(calls: dict[str, set[str]], start: str) -> set[str]:
    """What is reached from *start*, directly or not."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        for callee in calls.get(todo.pop(), ()):
            if callee not in seen:
                seen.add(callee)
                todo.append(callee)
    return seen


def _calls(image: Image, function: Function) -> bool:
    code = image.read(function.start, function.size)
    return any(insn.kind is Kind.CALL for insn in decode(image.arch, code, function.start))


def _by_function(at: Iterable[tuple[int, Amounts]], image: Image, pieces: Pieces | None) -> dict[str, list[Amounts]]:
    found: dict[str, list[Amounts]] = defaultdict(list)
    for pc, amounts in at:
        origin = pieces.origin(pc) if pieces else pc
        if origin is None and pieces is not None:
            piece = pieces.inserted(pc)
            name = (piece.function if piece else "") or ENTRY_STUB
        else:
            function = image.function_at(pc if origin is None else origin)
            name = function.name if function else NOWHERE
        found[name].append(amounts)
    return found
