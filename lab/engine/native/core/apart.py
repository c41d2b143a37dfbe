"""Unwinders that are not recalled with the others, but asked at each stop as if nothing were."""

from __future__ import annotations

from lab.engine.native.cells import P, S
from lab.engine.native.primitives import get, put

MOST_NOT_PLAIN = 64
MANY = 8  # slots that a step may read


def set_apart(s, p):
    """From now on *p* is not recalled; what its block says may be of an earlier stop."""
    if get(p, P.APART) == 0:
        put(p, P.APART, 1)
        put(p, P.CLEAN, 0)
        put(s, S.APART, get(s, S.APART) + 1)
        put(s, S.TOGETHER, get(s, S.TOGETHER) & ~get(p, P.BIT))
    return 0


def note_plain(s, p):
    """The last walk of *p* has been plain or not: one that often is not keeps the others from being learnt."""
    count = get(p, P.NOT_PLAIN)
    if get(p, P.PLAIN) == 0:
        put(p, P.NOT_PLAIN, count + 1)
        if count >= MOST_NOT_PLAIN:
            set_apart(s, p)
    elif count != 0:
        put(p, P.NOT_PLAIN, count - 1)
    return 0


def note_reads(p, slots):
    """A step of *p* has read so many *slots*."""
    if slots > MANY:
        put(p, P.READS_MUCH, 1)
    return 0
