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
    CAPPED,
    CLEAN,
    CRASH,
    CRASH_LOOPS,
    CRASH_OUTSIDE,
    CRASH_STATUS,
    CRASH_STEPS,
    CRASHED,
    DETAIL,
    FAULT_POISON,
    NOWHERE,
    SUMMARY_DETAIL,
    WHOLE,
    P,
    Record,
    S,
)
from lab.engine.native.core.apart import note_reads, set_apart
from lab.engine.native.core.cursors import by_row, save_cursor, start, step
from lab.engine.native.core.judge import continued, equal, judgement, plain_code, record
from lab.engine.native.core.memory import shorten
from lab.engine.native.core.path import CURSOR, clamp, keep, known, mark_start
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, put
from lab.lowering.plain import LOOP_BUDGET
from lab.unwind.api import BOUNDARY, CALL, END, FRAME, GOES_ON, Reason
from lab.unwind.host import STEP_BUDGET

REASONS = sum(1 << reason for reason in Reason)
BELOW_STACK = int(Reason.BELOW_STACK)
ASTRAY = 8  # steps
OUT_OF_STEPS = CRASHED | CRASH_STEPS << SUMMARY_DETAIL


def evaluate(s, p):
    """The code of this unwinder at the stop that *s* describes."""
    if get(p, P.HUNG):
        return CRASH | CRASH_LOOPS << DETAIL
    clamp(s, p)
    if get(p, P.STALE) == 0:
        return once(s, p, get(p, P.WALK_LEVEL), get(p, P.WALK_STATUS), get(p, P.WALK_RA))
    put(s, S.SPENT, 0)
    put(s, S.FUEL, LOOP_BUDGET)
    pc = get(s, S.PC)
    cursor = start(s, get(s, S.MODE), pc, registers(s, pc))
    mode = get(s, S.MODE)
    lasting = 1 if get(s, S.MEMO) != 0 and (mode == CALL or (mode == BOUNDARY and by_row(cursor, pc))) else 0
    begin_step(s)
    put(s, S.LOGGED, 0)
    put(s, S.USED, 0)
    said, ra, cursor = step(s, s, cursor)
    status = outcome(s, p, said)
    logged = get(s, S.LOGGED)
    note_reads(p, logged)
    lowest = get(s, S.LOWEST)
    shadow = get(s, S.STEP_SHADOW)
    hardware = get(s, S.STEP_HW)
    put(p, P.ACTIVE, get(p, P.READS) & ~(get(p, P.TRACKED) & ~get(s, S.USED)))
    lasting = lasting & ~get(s, S.TAINT)
    put(p, P.WALK_STATUS, status)
    put(p, P.WALK_RA, ra)
    level = known(s, p, cursor, 1) if status == FRAME and get(s, S.MEMO) else 0
    put(p, P.WALK_LEVEL, level)
    put(p, P.DIRTY, 0)
    put(p, P.KEPT, WHOLE)
    if level != 0 or (status != FRAME and (status >= CRASH_STATUS or status & GOES_ON == 0)):
        code = once(s, p, level, status, ra)
    else:
        code = further(s, p, cursor, status, ra)
        level = get(p, P.WALK_LEVEL)
        kept = get(p, P.KEPT)
        if kept == CAPPED:
            logged = get(s, S.LOGGED)
            lowest = min(lowest, get(s, S.LOWEST))
            shadow = max(shadow, get(s, S.STEP_SHADOW))
            hardware = min(hardware, get(s, S.STEP_HW))
        lasting = lasting if kept != 0 else 0
    lasting = lasting if get(p, P.HUNG) == 0 else 0
    put(p, P.CLEAN, lasting if mode == BOUNDARY else 0)
    put(p, P.PLAIN, lasting)
    if lasting:
        mark_start(s, p, logged)
        if level != 0:
            rest = record(p, level)
            lowest = min(lowest, get(rest, Record.LOWEST))
            shadow = max(shadow, get(rest, Record.SHADOW))
            hardware = min(hardware, get(rest, Record.HARDWARE))
        put(p, P.LOWEST, lowest)
        put(p, P.SHADOW_READ, shadow)
        put(p, P.HW_READ, hardware)
    return code


def registers(s, pc):
    """What ``start`` is given, in the order of ``api.Regs``."""
    return pc, get(s, S.SP), get(s, S.FP), get(s, S.LR), get(s, S.SSP), get(s, S.HSSP)


def begin_step(s):
    """Nothing has been read yet."""
    put(s, S.LOWEST, NOWHERE)
    put(s, S.STEP_SHADOW, 0)
    put(s, S.STEP_HW, NOWHERE)
    put(s, S.TAINT, 0)
    put(s, S.FAULT, 0)
    put(s, S.FUEL, LOOP_BUDGET)
    return 0


def further(s, p, cursor, status, ra):
    """The walk from its second step on; its steps are put on the path."""
    memo = get(s, S.MEMO)
    width = get(p, P.WIDTH)
    at = get(p, P.PREFIX)
    put(at, Record.STATUS, status)
    put(at, Record.RA, ra)
    at = at + width
    steps = 1
    segment = 1
    addresses = 1
    passes = 0
    first = 0
    if status != FRAME:
        segment = 0
        addresses = 0
        passes = 1
        first = status
    level = 0
    below = CLEAN
    whole = WHOLE
    while True:
        if memo != 0:
            level = known(s, p, cursor, steps)
            if level != 0:
                below = get(record(p, level), Record.SUMMARY)
                break
        save_cursor(at + CURSOR, cursor)
        put(at, Record.SERIAL, get(s, S.LOGGED))
        begin_step(s)
        said, ra, cursor = step(s, s, cursor)
        status = outcome(s, p, said)
        if status == FRAME and addresses == get(p, P.CAP) and addresses != 0:
            status = get(p, P.CAP_STATUS)
            whole = CAPPED
            shorten(p, 0)  # too far out to be met again soon
        put(at, Record.STATUS, status)
        put(at, Record.RA, ra)
        put(at, Record.LOWEST, get(s, S.LOWEST))
        put(at, Record.SHADOW, get(s, S.STEP_SHADOW))
        put(at, Record.HARDWARE, get(s, S.STEP_HW))
        put(at, Record.FRAMES, get(s, S.TAINT))
        put(at, Record.SUMMARY, get(s, S.LOGGED))
        note_reads(p, get(s, S.LOGGED) - get(at, Record.SERIAL))
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
    code = judgement(s, p, steps, level, summed(p, steps, below))
    if whole == WHOLE and level == 0 and steps <= ASTRAY and get(p, P.TOP) > 8 * steps:
        whole = CAPPED  # it has soon gone astray, and the next one will want the path as it is
    kept = 0
    if memo != 0 and whole == WHOLE:
        kept = keep(s, p, steps, level)
        put(p, P.WALK_LEVEL, get(p, P.TOP))
    elif memo != 0 and whole == CAPPED and untainted(s, p, steps):
        kept = CAPPED
    put(p, P.KEPT, kept)
    return code


def untainted(s, p, steps):
    """Whether the prefix's *steps* steps, the first apart, have read nothing tainted.  True or false; what they read is
    then said where a step's own reads are."""
    width = get(p, P.WIDTH)
    at = get(p, P.PREFIX) + width
    end = at + (steps - 1) * width
    taint = 0
    begin_step(s)
    while at < end:
        taint = taint | get(at, Record.FRAMES)
        put(s, S.LOWEST, min(get(s, S.LOWEST), get(at, Record.LOWEST)))
        put(s, S.STEP_SHADOW, max(get(s, S.STEP_SHADOW), get(at, Record.SHADOW)))
        put(s, S.STEP_HW, min(get(s, S.STEP_HW), get(at, Record.HARDWARE)))
        at = at + width
    return taint == 0


def summed(p, steps, below):
    """The summary of the prefix's *steps* steps before a rest that comes to *below*."""
    at = get(p, P.PREFIX) + steps * get(p, P.WIDTH)
    while steps != 0:
        at = at - get(p, P.WIDTH)
        below = continued(get(at, Record.STATUS), below)
        steps = steps - 1
    return below


def once(s, p, level, status, ra):
    """The code of a walk of one step that then is at *level* of the path (0: it has ended)."""
    below = CLEAN
    if level != 0:
        below = get(record(p, level), Record.SUMMARY)
        if status == FRAME and below == CLEAN and equal(s, p, level):
            code = plain_code(s, p, level, ra)
            if code != NOWHERE:
                return code
    if remembered(s, p, level, status, ra):
        return get(p, P.MEMO_CODE)
    put(get(p, P.PREFIX), Record.STATUS, status)
    put(get(p, P.PREFIX), Record.RA, ra)
    code = judgement(s, p, 1, level, continued(status, below))
    remember(s, p, level, status, ra, code)
    return code


def outcome(s, p, said):
    """What a step comes to: its status, or what the host makes of its reads and loops."""
    if get(s, S.SPENT):
        put(p, P.HUNG, 1)
        set_apart(s, p)  # from now on it crashes, whatever it said before
        return CRASH_STATUS | CRASH_LOOPS
    fault = get(s, S.FAULT)
    if fault != 0:
        return BELOW_STACK if fault == FAULT_POISON else CRASH_STATUS | CRASH_OUTSIDE
    if said <= END:
        return said
    reason = said & ~GOES_ON
    if reason >= 64 or not_a_reason(reason):
        call3(get(s, S.EVENT), Event.UNKNOWN_STATUS, said, p)
        return BELOW_STACK
    return said


def not_a_reason(code):
    """Whether *code*, below 64, is no Reason.  True or false."""
    known_codes = REASONS
    while code != 0:
        known_codes = known_codes >> 1
        code = code - 1
    return known_codes & 1 == 0


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
