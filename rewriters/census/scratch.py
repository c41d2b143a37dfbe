"""Registers a sequence may clobber at a function's entry and exits, by the whole call graph.

A register is not free in a function that reads it before writing it, nor in one that a caller calls, directly or
through others, while a value in that register is kept for after the call.  The compiler cannot know what an indirect
call leads to, so those protect nothing; a direct call of code no function covers may lead anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewriters.census.links import Owners
from rewriters.census.live import Busy, find_busy, find_ways
from rewriters.census.scan import Flow, Ints, Masks, Scan

#: In order of preference.
CANDIDATES = {
    "aarch64": ("x16", "x17", *(f"x{i}" for i in range(9, 16))),
    "x86_64": ("r11", "r10"),
}
FLAGS = "flags"
#: Instructions of a linkage-table stub, with its alignment.
_LONGEST_STUB = 6
_EVERY = np.uint32(0xFFFF_FFFF)


@dataclass(frozen=True)
class Scratch:
    """Answers by function number and by instruction index."""

    scan: Scan
    live: Masks
    protected: Masks

    def free(self, number: int, entry: int) -> tuple[str, ...]:
        """Scratch registers of function *number*, whose push would stand before instruction *entry*."""
        busy = int(self.protected[number]) | int(self.live[entry])
        return tuple(name for name in CANDIDATES[self.scan.arch.name] if not self.scan.bits[name] & busy)

    def wanted(self, index: int) -> tuple[str, ...]:
        """Tracked registers, and the flags, whose value is read from instruction *index* on."""
        return tuple(name for name, bit in self.scan.bits.items() if bit & int(self.live[index]))

    def flags_matter(self, number: int, entry: int) -> bool:
        """Whether function *number* reads its caller's flags, or a caller its."""
        return bool((int(self.live[entry]) | int(self.protected[number])) & self.scan.bits[FLAGS])


def find_scratch(
    scan: Scan, owners: Owners, leads: list[tuple[int, int]], fragments: frozenset[int], stops: list[int]
) -> Scratch:
    """Liveness of *scan* and what it protects; arguments as for find_ways."""
    wanted = sum(scan.bits[name] for name in (*CANDIDATES[scan.arch.name], FLAGS))
    calls = _Calls.of(scan, owners)
    busy = find_busy(scan, find_ways(scan, owners, leads, fragments, stops), wanted)
    across = _kept(scan, owners, busy, stops)
    if calls.onward.any() and across[calls.at[calls.onward]].any():
        # Compiled code keeps nothing across a call it knows nothing of; where it seems to, a jump table was believed
        # to lead too far, or a register was pushed for alignment or given to the kernel.  What keeps something there
        # is written by hand, without any of these.
        ways = find_ways(scan, owners, [], fragments, stops)
        straight = find_busy(scan.without_reads(scan.pushes + scan.syscalls), ways, wanted)
        sure = _kept(scan, owners, straight, stops)
        across[calls.at[calls.onward]] = sure[calls.at[calls.onward]]
    return Scratch(scan, busy.live, _protected(scan, owners, calls, across))


def _kept(scan: Scan, owners: Owners, busy: Busy, stops: list[int]) -> Masks:
    """Per instruction: if it is a direct call, the registers whose values are kept across it."""
    behind = np.zeros(len(scan.address), np.uint32)
    behind[:-1] = busy.live[1:]
    behind[owners.highs[owners.highs > 0] - 1] = 0
    behind[stops] = 0
    given = busy.given | np.uint32(scan.bits[FLAGS])  # what the callee does not leave as it was is its result
    found: Masks = np.where(scan.flow == Flow.CALL, behind & given, np.uint32(0))
    return found


@dataclass(frozen=True)
class _Calls:
    """Direct calls and jumps between pieces of code: functions by number, then pieces of what no function covers.

    ``at``: instruction index; ``source``, ``into``: piece numbers; ``onward``: a function's call of a piece that goes
    on indirectly (a linkage-table stub); ``writes``: per piece, all that its instructions overwrite, everything where
    one of them calls indirectly."""

    at: Ints
    source: Ints
    into: Ints
    onward: NDArray[np.bool_]
    writes: Masks

    @staticmethod
    def of(scan: Scan, owners: Owners) -> _Calls:
        """All of *scan* that lead to an instruction's beginning."""
        kinds = (Flow.CALL, Flow.JUMP, Flow.BRANCH, Flow.SHORT)
        at = np.nonzero(np.isin(scan.flow, kinds) & (scan.target >= 0))[0]
        goals = np.minimum(scan.indices(scan.target[at]), max(len(scan.address) - 1, 0))
        exact = scan.address[goals] == scan.target[at]
        at, goals = at[exact], goals[exact]
        everything = np.arange(len(scan.address))
        owner = owners.at(everything)
        cuts = np.unique(np.concatenate([owners.lows, owners.highs, goals, [0]]))
        piece = np.searchsorted(cuts, everything, side="right") - 1 + len(owners.places)
        piece = np.where(owner >= 0, owner, piece)
        count = len(owners.places) + len(cuts)
        indirect = np.zeros(count, bool)
        indirect[piece[(scan.flow == Flow.INDIRECT) & (owner < 0)]] = True
        indirect &= np.bincount(piece, minlength=count) <= _LONGEST_STUB
        writes = np.zeros(count, np.uint32)
        np.bitwise_or.at(writes, piece, scan.kills)
        writes[piece[scan.flow == Flow.CALL_INDIRECT]] = _EVERY  # an indirect jump may be a table's
        calls = scan.flow[at] == Flow.CALL
        return _Calls(at, piece[at], piece[goals], indirect[piece[goals]] & calls & (owner[at] >= 0), writes)


def _protected(scan: Scan, owners: Owners, calls: _Calls, across: Masks) -> Masks:
    """Per piece the registers kept across a call that runs it.

    What is called keeps its hands off, whatever it does itself (it may leave a result there).  It passes the duty on
    to what it calls only where it writes the register nowhere and makes no indirect call: else no compiler believes
    that the register survives it."""
    masks = np.zeros(len(calls.writes), np.uint32)
    np.bitwise_or.at(masks, calls.into, across[calls.at])
    masks |= np.bitwise_or.reduce(across[calls.at[calls.onward]], initial=np.uint32(0))
    passes = ~calls.writes
    while True:
        new = masks.copy()
        np.bitwise_or.at(new, calls.into, masks[calls.source] & passes[calls.source])
        if (new == masks).all():
            return masks
        masks = new
