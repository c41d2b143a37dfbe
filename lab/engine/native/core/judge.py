"""Verdict and covers of one walk: the prefix it made now, and the tail it is known to end with.

``R`` is the prefix's return addresses followed by the tail's; ``T`` the live ones, ``T[0]`` at level DEPTH.
Where the tail is known to be the true outermost frames (``equal``), neither is ever walked again:
with j frames in the tail, R = T needs only the prefix compared, and T is a subsequence of R just when all but
at most j of T are found in order in the prefix, since what is left of T is then a part of the tail itself.
"""

from __future__ import annotations

from lab.engine.native.cells import (
    CLEAN,
    COVERS,
    CRASH,
    CRASH_STATUS,
    CRASHED,
    DETAIL,
    DOUBT,
    EXACT,
    EXTRA,
    JUSTIFIED,
    MISSING,
    NEEDLESS,
    NOWHERE,
    REFUSED,
    REFUSES,
    SUMMARY_DETAIL,
    SUMMARY_ONLY,
    UNDETERMINED,
    P,
    Record,
    S,
    Span,
    Truth,
)
from lab.engine.native.core.activation import activation
from lab.engine.native.core.memory import span
from lab.engine.native.primitives import get, load64, put, store64
from lab.unwind.api import END, FRAME, GOES_ON


def record(p, level):
    """The path's record at *level*."""
    return get(p, P.PATH) + level * get(p, P.WIDTH)


def equal(s, p, level):
    """Whether the tail from *level* reports just the true outermost frames; 0 or 1."""
    have = get(p, P.EQUAL)
    while have < level:
        at = record(p, have + 1)
        status = get(at, Record.STATUS)
        if have == 0:
            fine = status == END
        elif status == FRAME:
            frames = get(at, Record.FRAMES)
            fine = frames <= get(s, S.DEPTH) and get(activation(s, frames), Truth.RA) == get(at, Record.RA)
        else:
            fine = status & GOES_ON != 0
        if not fine:
            break
        have = have + 1
    put(p, P.EQUAL, have)
    return 1 if have >= level else 0


def plain_code(s, p, level, ra):
    """The code where *ra* and the true outermost frames from *level* are the whole truth, or all of it but for the
    innermost frame, and functions cover themselves: what most stops are.  NOWHERE where it is not so plain."""
    depth = get(s, S.DEPTH)
    frames = get(record(p, level), Record.FRAMES) + 1
    top = activation(s, depth)
    if get(s, S.KNOWS_FUNCTIONS) == 0 or get(s, S.PC_NAMED) != get(s, S.PC_RUNNING):
        return NOWHERE
    if frames == depth:
        return EXACT | COVERS if get(top, Truth.RA) == ra and get(top, Truth.BAD) == 0 else NOWHERE
    caller = activation(s, depth - 1)
    if frames + 1 != depth or get(caller, Truth.RA) != ra or get(caller, Truth.BAD) != 0:
        return NOWHERE
    skipped = get(top, Truth.RUNNING)
    first = load64(get(s, S.FIRST) + skipped * 8)
    named = skipped in (0, get(s, S.PC_NAMED), get(caller, Truth.NAMED)) or (first != 0 and first < frames)
    return MISSING | COVERS if named else MISSING


def judgement(s, p, steps, level, summary):
    """The code of a walk of *steps* steps that then is at *level* of the path (0: it has ended)."""
    kind = summary & 0xFF
    detail = (summary >> SUMMARY_DETAIL & 0xFF) << DETAIL
    if kind == CRASHED:
        return CRASH | detail
    if kind == REFUSED:
        doubt = UNDETERMINED
        if summary & SUMMARY_ONLY:
            doubt = NEEDLESS if compare(s, p, steps, level) == EXACT else JUSTIFIED
        return REFUSES | doubt << DOUBT | detail
    verdict = compare(s, p, steps, level)
    return verdict | (COVERS if covers(s, p, steps, level) else 0)


def compare(s, p, steps, level):
    """EXACT, EXTRA or MISSING."""
    depth = get(s, S.DEPTH)
    matched = 0  # of T, greedily and in order
    same = 1
    frames = 0
    at = get(p, P.PREFIX)
    width = get(p, P.WIDTH)
    end = at + steps * width
    while at < end:
        if get(at, Record.STATUS) == FRAME:
            ra = get(at, Record.RA)
            if frames >= depth or get(activation(s, depth - frames), Truth.RA) != ra:
                same = 0
            if matched < depth and get(activation(s, depth - matched), Truth.RA) == ra:
                matched = matched + 1
            frames = frames + 1
        at = at + width
    if level != 0 and equal(s, p, level):
        tail = get(record(p, level), Record.FRAMES)
        if same and frames + tail == depth:
            return EXACT
        return EXTRA if matched + tail >= depth else MISSING
    while level > 1:
        at = record(p, level)
        if get(at, Record.STATUS) == FRAME:
            ra = get(at, Record.RA)
            if frames >= depth or get(activation(s, depth - frames), Truth.RA) != ra:
                same = 0
            if matched < depth and get(activation(s, depth - matched), Truth.RA) == ra:
                matched = matched + 1
            frames = frames + 1
        level = level - 1
    if same and frames == depth:
        return EXACT
    return EXTRA if matched == depth else MISSING


def covers(s, p, steps, level):
    """Whether every live function is named: by R or the pc, as live patching maps addresses.  True or false."""
    if not get(s, S.KNOWS_FUNCTIONS):
        return False
    stamp = get(s, S.STAMP) + 1
    put(s, S.STAMP, stamp)
    stamps = get(s, S.STAMPS)
    store64(stamps + get(s, S.PC_NAMED) * 8, stamp)
    at = get(p, P.PREFIX)
    width = get(p, P.WIDTH)
    end = at + steps * width
    while at < end:
        if get(at, Record.STATUS) == FRAME:
            store64(stamps + get(span(s, get(at, Record.RA)), Span.NAMED) * 8, stamp)
        at = at + width
    tail = 0
    if level != 0 and equal(s, p, level):
        tail = get(record(p, level), Record.FRAMES)
    else:
        while level > 1:
            at = record(p, level)
            if get(at, Record.STATUS) == FRAME:
                store64(stamps + get(span(s, get(at, Record.RA)), Span.NAMED) * 8, stamp)
            level = level - 1
    return all_live_named(s, stamp, tail)


def all_live_named(s, stamp, tail):
    """Whether all live functions have *stamp* or are named by one of the *tail* outermost activations."""
    if not is_named(s, get(s, S.PC_RUNNING), stamp, tail):
        return False
    level = get(s, S.DEPTH)
    while level > tail:
        if not is_named(s, get(activation(s, level), Truth.RUNNING), stamp, tail):
            return False
        level = level - 1
    bad = get(activation(s, tail), Truth.BAD)
    while bad != 0:
        if not is_named(s, get(activation(s, bad), Truth.RUNNING), stamp, tail):
            return False
        bad = get(activation(s, bad - 1), Truth.BAD)
    return True


def is_named(s, function, stamp, tail):
    """True for no function at all, too."""
    if function == 0 or load64(get(s, S.STAMPS) + function * 8) == stamp:
        return True
    first = load64(get(s, S.FIRST) + function * 8)
    return first != 0 and first <= tail


def oracle(s):
    """The code of a walk that reports the truth."""
    if not get(s, S.KNOWS_FUNCTIONS):
        return EXACT
    stamp = get(s, S.STAMP) + 1
    put(s, S.STAMP, stamp)
    store64(get(s, S.STAMPS) + get(s, S.PC_NAMED) * 8, stamp)
    return EXACT | (COVERS if all_live_named(s, stamp, get(s, S.DEPTH)) else 0)


def continued(status, below):
    """The summary of a walk whose next step says *status* and whose rest comes to *below*."""
    if status == FRAME:
        return below
    if status == END:
        return CLEAN
    if status >= CRASH_STATUS:
        return CRASHED | (status & 0xFF) << SUMMARY_DETAIL
    reason = REFUSED | (status & 0xFF) << SUMMARY_DETAIL
    if status & GOES_ON and (below == CLEAN or below == reason | SUMMARY_ONLY):
        return reason | SUMMARY_ONLY
    return reason
