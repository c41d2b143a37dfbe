"""One unwinder at one stop: walked from its start, until its end or until a tail that is known.

Memoise tails, never starts.  The path keeps the steps of the last walk behind its first one, level 1 being
the last step.  A walk that arrives at a cursor of the path knows the rest, provided that

* every level from there to the end is intact: no store has hit a slot that one of them read (``stored``);
* nothing they read lies in what this stop's exception has overwritten: the lowest stack address that they
  read is at or above E;
* the whole walk stays within the step budget.

``start``, ``step`` and the four functions over cursors are put in by ``generate``, once for each unwinder.
"""

from __future__ import annotations

from lab.engine.native.cells import (
    CLEAN,
    COVERS,
    CRASH,
    CRASH_LOOPS,
    CRASH_OUTSIDE,
    CRASH_STATUS,
    CRASH_STEPS,
    CRASHED,
    DETAIL,
    EXACT,
    FAULT_POISON,
    NOWHERE,
    SUMMARY_DETAIL,
    Event,
    P,
    Record,
    S,
    Truth,
)
from lab.engine.native.core.cursors import by_row, save_cursor, start, step
from lab.engine.native.core.judge import continued, judgement, record
from lab.engine.native.core.path import clamp, keep, known, mark_start
from lab.engine.native.core.truth import activation
from lab.engine.native.primitives import call3, get, put
from lab.lowering.plain import LOOP_BUDGET
from lab.unwind.api import BOUNDARY, END, FRAME, GOES_ON, Reason
from lab.unwind.host import STEP_BUDGET

REASONS = sum(1 << reason for reason in Reason)
BELOW_STACK = int(Reason.BELOW_STACK)
OUT_OF_STEPS = CRASHED | CRASH_STEPS << SUMMARY_DETAIL


def evaluate(s, p):
    """The code of this unwinder at the stop that *s* describes."""
    if get(p, P.HUNG):
        return CRASH | CRASH_LOOPS << DETAIL
    clamp(s, p)
    put(s, S.LOGGED, 0)
    put(s, S.FUEL, LOOP_BUDGET)
    put(s, S.SPENT, 0)
    regs = (get(s, S.PC), get(s, S.SP), get(s, S.FP), get(s, S.LR), get(s, S.SSP))
    cursor = start(s, get(s, S.MODE), get(s, S.PC), regs)
    if get(s, S.SPENT):
        put(p, P.HUNG, 1)
        return CRASH | CRASH_LOOPS << DETAIL
    memo = get(s, S.MEMO)
    lasting = 0
    if memo != 0 and get(s, S.MODE) == BOUNDARY and by_row(cursor, get(s, S.PC)):
        lasting = 1
    first_tainted = 1
    first_logged = 0
    first_lowest = NOWHERE
    width = get(p, P.WIDTH)
    at = get(p, P.PREFIX)
    steps = 0
    segment = 0
    addresses = 0
    passes = 0
    first = 0
    level = 0
    below = CLEAN
    whole = 1
    while True:
        if memo != 0 and steps != 0:
            level = known(s, p, cursor, steps)
            if level != 0:
                below = get(record(p, level), Record.SUMMARY)
                break
        if steps != 0:
            save_cursor(at + 48, cursor)
            put(at, Record.SERIAL, get(s, S.LOGGED))
        put(s, S.LOWEST, NOWHERE)
        put(s, S.TAINT, 0)
        put(s, S.FAULT, 0)
        put(s, S.FUEL, LOOP_BUDGET)
        said, ra, cursor = step(s, s, cursor)
        status = outcome(s, p, said)
        put(at, Record.STATUS, status)
        put(at, Record.RA, ra)
        if steps != 0:
            put(at, Record.LOWEST, get(s, S.LOWEST))
            put(at, Record.FRAMES, get(s, S.TAINT))
            put(at, Record.SUMMARY, get(s, S.LOGGED))
        else:
            first_tainted = get(s, S.TAINT)
            first_logged = get(s, S.LOGGED)
            first_lowest = get(s, S.LOWEST)
        at = at + width
        steps = steps + 1
        segment = segment + 1
        if status == FRAME:
            addresses = addresses + 1
            if segment < STEP_BUDGET:
                continue
        elif status >= CRASH_STATUS or status & GOES_ON == 0:
            break
        else:
            passes = passes + 1
            segment = 0
            if first == 0:
                first = status
            if status == first and passes <= STEP_BUDGET and addresses <= STEP_BUDGET:
                continue
        below = OUT_OF_STEPS
        whole = 0
        break
    code = concluded(s, p, steps, level, below, whole)
    put(p, P.DIRTY, 0)
    put(p, P.CLEAN, 0)
    if lasting != 0 and whole != 0 and first_tainted == 0 and get(p, P.KEPT):
        mark_start(s, p, first_logged)
        put(p, P.CLEAN, 1)
        tail = get(p, P.TOP) if steps > 1 else level
        put(p, P.LOWEST, min(first_lowest, get(record(p, tail), Record.LOWEST)) if tail != 0 else first_lowest)
    return code


def outcome(s, p, said):
    """What a step comes to: its status, or what the host makes of its reads and loops."""
    if get(s, S.SPENT):
        put(p, P.HUNG, 1)
        return CRASH_STATUS | CRASH_LOOPS
    fault = get(s, S.FAULT)
    if fault != 0:
        return BELOW_STACK if fault == FAULT_POISON else CRASH_STATUS | CRASH_OUTSIDE
    if said <= END:
        return said
    reason = said & ~GOES_ON
    if reason >= 64 or not_a_reason(reason):
        call3(get(s, S.EVENT), Event.UNKNOWN_STATUS, said, 0)
        return BELOW_STACK
    return said


def not_a_reason(code):
    """Whether *code*, below 64, is no Reason.  True or false."""
    known_codes = REASONS
    while code != 0:
        known_codes = known_codes >> 1
        code = code - 1
    return known_codes & 1 == 0


def concluded(s, p, steps, level, below, whole):
    """The code of the walk, from the last judgement where nothing has changed; then its steps are kept."""
    status = get(get(p, P.PREFIX), Record.STATUS)
    ra = get(get(p, P.PREFIX), Record.RA)
    put(p, P.KEPT, 1)
    if steps == 1 and level != 0 and status == FRAME and below == CLEAN and plainly_exact(s, p, level, ra):
        return EXACT | COVERS
    if steps == 1 and remembered(s, p, level, status, ra):
        return get(p, P.MEMO_CODE)
    summary = below
    at = get(p, P.PREFIX) + steps * get(p, P.WIDTH)
    left = steps
    while left != 0:
        at = at - get(p, P.WIDTH)
        summary = continued(get(at, Record.STATUS), summary)
        left = left - 1
    code = judgement(s, p, steps, level, summary)
    if steps == 1 and whole != 0:
        remember(s, p, level, status, ra, code)
    elif whole != 0 and get(s, S.MEMO):
        put(p, P.KEPT, keep(s, p, steps, level))
    return code


def plainly_exact(s, p, level, ra):
    """Whether *ra* and the tail from *level* are just the truth, and cover it: what most stops are."""
    if level > get(p, P.EQUAL) or not get(s, S.KNOWS_FUNCTIONS) or get(s, S.PC_NAMED) != get(s, S.PC_RUNNING):
        return False
    depth = get(s, S.DEPTH)
    at = activation(s, depth)
    return get(record(p, level), Record.FRAMES) + 1 == depth and get(at, Truth.RA) == ra and get(at, Truth.BAD) == 0


def remembered(s, p, level, status, ra):
    """Whether the last judgement was made of just this.  True or false."""
    if get(p, P.MEMO_TRUTH) != get(s, S.TRUTH_VERSION) or get(p, P.MEMO_VERSION) != get(p, P.VERSION):
        return False
    if get(p, P.MEMO_LEVEL) != level or get(p, P.MEMO_EVENT) != status or get(p, P.MEMO_RA) != ra:
        return False
    return get(p, P.MEMO_NAMED) == get(s, S.PC_NAMED) and get(p, P.MEMO_RUNNING) == get(s, S.PC_RUNNING)


def remember(s, p, level, status, ra, code):
    """Keep a judgement with all that it depends on."""
    if get(s, S.MEMO) == 0:
        return 0
    put(p, P.MEMO_TRUTH, get(s, S.TRUTH_VERSION))
    put(p, P.MEMO_VERSION, get(p, P.VERSION))
    put(p, P.MEMO_LEVEL, level)
    put(p, P.MEMO_EVENT, status)
    put(p, P.MEMO_RA, ra)
    put(p, P.MEMO_NAMED, get(s, S.PC_NAMED))
    put(p, P.MEMO_RUNNING, get(s, S.PC_RUNNING))
    put(p, P.MEMO_CODE, code)
    return 0
