"""Linkers' patches for processor errata: an instruction carried out of line, with a jump there and a jump back.

``b veneer`` stands where the instruction was; the veneer, in code no function covers, is the instruction and
``b back``.  The activation does not end there.  (GNU ld and lld for Cortex-A53 errata 835769 and 843419; where ld finds
another way round the erratum, the veneer stays behind unused.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rewriters.census.links import Owners
from rewriters.census.scan import Flow, Scan


@dataclass(frozen=True)
class Veneers:
    """``used``: address of the instruction replaced -> address of its veneer; ``jumps``: indices of the jumps back."""

    used: dict[int, int]
    jumps: frozenset[int]


def resolve_veneers(scan: Scan, owners: Owners) -> Veneers:
    """Find veneers; in *scan* put the instruction of each back into its place."""
    found: dict[int, int] = {}
    back: set[int] = set()
    jumps = np.nonzero((scan.flow == Flow.JUMP) & (scan.target >= 0))[0]
    outside = jumps[owners.at(jumps) < 0]
    goals = np.minimum(scan.indices(scan.target[outside]), len(scan.address) - 1)
    entered = owners.at(goals) >= 0
    for index, goal in zip(outside[entered].tolist(), goals[entered].tolist(), strict=True):
        body, home = index - 1, goal - 1
        if body < 0 or home < 0 or scan.flow[body] != Flow.NONE:
            continue
        if scan.flow[home] == Flow.JUMP and scan.target[home] == scan.address[body]:
            _put_back(scan, home, body)
            found[int(scan.address[home])] = int(scan.address[body])
            back.add(index)
        elif scan.same(home, body) and not np.isin(scan.target, scan.address[[body, index]]).any():
            back.add(index)
    return Veneers(found, frozenset(back))


def _put_back(scan: Scan, home: int, body: int) -> None:
    scan.flow[home] = Flow.NONE
    scan.target[home] = -1
    scan.reads[home], scan.kills[home] = scan.reads[body], scan.kills[body]
    if body in scan.effects:
        scan.effects[home] = scan.effects[body]
