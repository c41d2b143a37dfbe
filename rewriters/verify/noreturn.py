"""Functions that cannot return, whatever they call: the greatest fixed point of "may return"."""

from __future__ import annotations

from lab.arch.decode import Kind
from lab.images.image import Function
from rewriters.verify.facts import Fact, Reading


def noreturn(reading: Reading) -> frozenset[int]:
    """Entries of such functions.  Any reachable return, indirect jump or way into code that may return makes a function
    return; so does a call of itself that nothing else rules out."""
    functions = {function.start: function for function in reading.image.functions}
    stopping: set[int] = set()
    pending = set(functions)
    callers: dict[int, set[int]] = {}
    for start, function in functions.items():
        for fact in reading.of(function).values():
            if fact.target is not None and (fact.kind is Kind.CALL or not start <= fact.target < function.end):
                callers.setdefault(fact.target, set()).add(start)
    while pending:
        found = {start for start in pending if start not in stopping and _stops(reading, functions[start], stopping)}
        stopping |= found
        pending = {caller for start in found for caller in callers.get(start, ())}
    return frozenset(stopping)


def _stops(reading: Reading, function: Function, stopping: set[int]) -> bool:
    """Whether every path of *function* ends in a trap, a loop, or one of *stopping*."""
    code = reading.of(function)
    seen: set[int] = set()
    pending = [function.start]
    while pending:
        at = pending.pop()
        while at not in seen:
            seen.add(at)
            fact = code.get(at)
            if fact is None or fact.kind in _RETURNS:
                return False  # or it leaves for code nobody knows
            if (
                fact.target is not None
                and fact.kind is not Kind.CALL
                and not _inside(function, fact, stopping, pending)
            ):
                return False
            if not fact.falls or (fact.kind is Kind.CALL and fact.target in stopping):
                break
            if fact.end >= function.end:
                return False
            at = fact.end
    return True


_RETURNS = frozenset({Kind.RETURN, Kind.INDIRECT, Kind.UNDECODED})


def _inside(function: Function, fact: Fact, stopping: set[int], pending: list[int]) -> bool:
    """Whether the jump *fact* stays in *function* (where it leads is *pending* then), or ends in one of *stopping*."""
    assert fact.target is not None
    if function.start <= fact.target < function.end:
        pending.append(fact.target)
        return True
    return fact.target in stopping
