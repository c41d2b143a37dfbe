"""Registers a sequence may clobber at a function's entry and exits, by the whole call graph.

A register is not free in a function that reads it before writing it, nor in one that a caller calls, directly or
through others, while a value in that register is kept for after the call.  The compiler cannot know what an indirect
call leads to, so those protect nothing; a direct call of code no function covers may lead anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rewriters.census.links import Owners
from rewriters.census.live import Busy, Ways, find_busy
from rewriters.census.scan import Flow, Masks, Scan
from rewriters.census.unit import Place

#: In order of preference.
CANDIDATES = {
    "aarch64": ("x16", "x17", *(f"x{i}" for i in range(9, 16))),
    "x86_64": ("r11", "r10"),
}
FLAGS = "flags"


@dataclass(frozen=True)
class Scratch:
    """Answers by function number and by instruction index."""

    scan: Scan
    live: Masks
    protected: Masks
    places: tuple[Place, ...]

    def free(self, number: int, entry: int) -> tuple[str, ...]:
        """Scratch registers of function *number*, whose push would stand before instruction *entry*."""
        busy = int(self.protected[number]) | int(self.live[entry])
        return tuple(name for name in CANDIDATES[self.scan.arch.name] if not self.scan.bits[name] & busy)

    def wanted(self, index: int) -> tuple[str, ...]:
        """Tracked registers, and the flags, whose value is read from instruction *index* on."""
        return tuple(name for name, bit in self.scan.bits.items() if bit & int(self.live[index]))

    def flags_matter(self, number: int, entry: int) -> str:
        """Why no sequence may change the flags in function *number*; "" if one may."""
        bit = self.scan.bits[FLAGS]
        if int(self.live[entry]) & bit:
            return "reads the flags its caller left"
        return "a caller of it reads the flags afterwards" if int(self.protected[number]) & bit else ""


def find_scratch(scan: Scan, owners: Owners, ways: Ways, stops: list[int]) -> Scratch:
    """Liveness of *scan* and what it protects; *stops*: indices of calls that do not come back."""
    names = (*CANDIDATES[scan.arch.name], FLAGS)
    busy = find_busy(scan, ways, sum(scan.bits[name] for name in names))
    return Scratch(scan, busy.live, _protected(scan, owners, busy, stops), owners.places)


def kept(scan: Scan, owners: Owners, busy: Busy, stops: list[int]) -> Masks:
    """Per instruction: if it is a direct call, the registers whose values are kept across it."""
    behind = np.zeros(len(scan.address), np.uint32)
    behind[:-1] = busy.live[1:]
    behind[owners.highs[owners.highs > 0] - 1] = 0
    behind[stops] = 0
    found: Masks = np.where(scan.flow == Flow.CALL, behind & busy.given, np.uint32(0))
    return found


def _protected(scan: Scan, owners: Owners, busy: Busy, stops: list[int]) -> Masks:
    """Per function the registers kept across a call that runs it."""
    masks = np.zeros(len(owners.places), np.uint32)
    direct = np.nonzero(np.isin(scan.flow, (Flow.CALL, Flow.JUMP, Flow.BRANCH, Flow.SHORT)) & (scan.target >= 0))[0]
    goals = np.minimum(scan.indices(scan.target[direct]), max(len(scan.address) - 1, 0))
    source, into = owners.at(direct), owners.at(goals)
    across = kept(scan, owners, busy, stops)[direct]
    known = into >= 0
    np.bitwise_or.at(masks, into[known], across[known])
    anywhere = np.bitwise_or.reduce(across[~known], initial=np.uint32(0))
    masks |= anywhere
    edge = known & (source >= 0) & (source != into)
    caller, callee = source[edge], into[edge]
    while True:
        new = masks.copy()
        np.bitwise_or.at(new, callee, masks[caller])
        if (new == masks).all():
            return masks
        masks = new
