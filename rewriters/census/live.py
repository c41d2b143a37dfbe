"""Which tracked registers hold a value somebody will still read, for every instruction of an image at once.

A register is busy where its value may be read later (backwards) and may have been given at all (forwards).  A direct
call changes nothing but the flags and what a linker's veneer may (gcc's -fipa-ra keeps values in caller-saved
registers across calls of functions it knows); an indirect call destroys every tracked register.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewriters.census.links import Owners
from rewriters.census.scan import ENDS, Bools, Flow, Ints, Masks, Scan

#: AAPCS64 (IHI 0055) 6.1.1: x16 and x17 may be changed by veneers at any call.
VENEER = {"aarch64": ("x16", "x17"), "x86_64": ()}


@dataclass(frozen=True)
class Busy:
    """Masks before each instruction: ``live`` (read later), ``given`` (perhaps written since the function's entry)."""

    live: Masks
    given: Masks


@dataclass(frozen=True)
class Ways:
    """Blocks (runs without a way in or out but at their ends) and the ways between them.

    ``first`` and ``last``: instruction indices per block; ``number``: block per instruction; ``source`` and ``goal``:
    block numbers; ``activation``: which ways stay in one activation."""

    first: Ints
    last: Ints
    number: Ints
    source: Ints
    goal: Ints
    activation: Bools


def find_busy(scan: Scan, ways: Ways, wanted: int) -> Busy:
    """Both masks, of the registers in *wanted*."""
    mask = np.uint32(wanted)
    gen, kill = _transfers(scan, mask)
    block_gen, block_kill = gen.copy(), kill.copy()
    _compose(block_gen, block_kill, ways.last[ways.number])
    after = _fixed_point(block_gen[ways.first], block_kill[ways.first], ways.source, ways.goal)
    live: Masks = block_gen | (after[ways.number] & ~block_kill)
    return Busy(live, _given(scan, ways, mask))


def _given(scan: Scan, ways: Ways, mask: np.uint32) -> Masks:
    """The same analysis on the reversed columns: a write makes, an indirect call destroys."""
    gen = (np.where(scan.flow == Flow.NONE, scan.writes, np.uint32(0)) & mask)[::-1].astype(np.uint32)
    _, kill = _transfers(scan, mask)
    destroyed = np.where(np.isin(scan.flow, (Flow.CALL, Flow.CALL_INDIRECT)), kill, np.uint32(0))[::-1]
    destroyed = destroyed.astype(np.uint32)
    count, blocks = len(gen), len(ways.first)
    first = (count - 1 - ways.last)[::-1]
    number = (blocks - 1 - ways.number)[::-1]
    last = (count - 1 - ways.first)[::-1]
    _compose(gen, destroyed, last[number])
    source, goal = (blocks - 1 - way[ways.activation] for way in (ways.goal, ways.source))
    after = _fixed_point(gen[first], destroyed[first], source, goal)
    found = (gen | (after[number] & ~destroyed))[::-1]
    # ``found`` holds behind each instruction; before one is behind the one before it, or at its block's beginning.
    before: Masks = np.zeros_like(found)
    before[1:] = found[:-1]
    before[ways.first] = after[blocks - 1 - np.arange(blocks)]
    return before


def _transfers(scan: Scan, wanted: np.uint32) -> tuple[Masks, Masks]:
    """Per instruction what it reads and what it surely overwrites, of *wanted*."""
    veneer = np.uint32(sum(scan.bits[name] for name in VENEER[scan.arch.name]))
    kill = np.where(scan.flow == Flow.CALL, veneer | np.uint32(scan.bits["flags"]), scan.kills)
    kill = np.where(scan.flow == Flow.CALL_INDIRECT, wanted, kill)
    gen: Masks = (scan.reads & wanted).astype(np.uint32)
    killed: Masks = (kill & wanted).astype(np.uint32)
    return gen, killed


def find_ways(
    scan: Scan, owners: Owners, leads: list[tuple[int, int]], fragments: frozenset[int], stops: Sequence[int]
) -> Ways:
    """The ways of *scan*.  *leads*: (index of a jump table's jump, index it leads to); *fragments*: starts of functions
    entered with another's activation; *stops*: indices of calls that do not come back."""
    count = len(scan.address)
    goes_on = ~np.isin(scan.flow, list(ENDS))
    goes_on[list(stops)] = False
    goes_on[:-1] &= scan.address[:-1] + scan.size[:-1] == scan.address[1:]
    goes_on[-1:] = False
    goes_on[owners.highs[owners.highs > 0] - 1] = False
    at, goals = jumps(scan)
    starts = np.zeros(count, bool)
    starts[:1] = True
    starts[1:] |= ~goes_on[:-1] | np.isin(scan.flow, (Flow.BRANCH, Flow.SHORT))[:-1]
    starts[goals] = True
    starts[[goal for _, goal in leads]] = True
    number = np.cumsum(starts) - 1
    first = np.nonzero(starts)[0]
    last = np.append(first[1:], count) - 1
    falls = last[goes_on[last]]
    tables = np.array(leads, np.int64).reshape(-1, 2)
    source = np.concatenate([at, falls, tables[:, 0]])
    goal = np.concatenate([goals, falls + 1, tables[:, 1]])
    return Ways(first, last, number, number[source], number[goal], _stays(owners, source, goal, fragments))


def _stays(owners: Owners, source: Ints, goal: Ints, fragments: frozenset[int]) -> Bools:
    """Whether each way goes on in the same activation: not to another function's entry."""
    home, into = owners.at(source), owners.at(goal)
    of_fragment = np.array([place.function.start in fragments for place in owners.places] + [False], bool)
    found: Bools = (home == into) | (into < 0) | of_fragment[into] | (goal > np.append(owners.entries, 0)[into])
    return found


def jumps(scan: Scan) -> tuple[Ints, Ints]:
    """(index, index of the target) of direct jumps to an instruction's beginning."""
    at = np.nonzero(np.isin(scan.flow, (Flow.JUMP, Flow.BRANCH, Flow.SHORT)) & (scan.target >= 0))[0]
    goals = np.minimum(scan.indices(scan.target[at]), max(len(scan.address) - 1, 0))
    exact = scan.address[goals] == scan.target[at]
    return at[exact], goals[exact]


def _compose(gen: Masks, kill: Masks, last: Ints) -> None:
    """Make *gen* and *kill* of each instruction those of the rest of its block, by doubling."""
    position = np.arange(len(gen))
    step = 1
    while True:
        at = np.nonzero(position + step <= last)[0]
        if not len(at):
            return
        ahead_gen, ahead_kill = gen[at + step], kill[at + step]
        gen[at] |= ahead_gen & ~kill[at]
        kill[at] |= ahead_kill
        step *= 2


def _fixed_point(gen: Masks, kill: Masks, source: Ints, goal: Ints) -> Masks:
    """Per block what holds behind it."""
    before = gen.copy()
    after = np.zeros_like(gen)
    changed = before != 0
    while True:
        active = changed[goal]
        if not active.any():
            return after
        touched = source[active]
        np.bitwise_or.at(after, touched, before[goal[active]])
        blocks = np.unique(touched)
        new = gen[blocks] | (after[blocks] & ~kill[blocks])
        changed = np.zeros(len(gen), bool)
        changed[blocks] = new != before[blocks]
        before[blocks] = new
