"""One stop: every unwinder judged, the vector of their judgements interned, and one more counted."""

from __future__ import annotations

from lab.engine.native.cells import CAPPED, EXACT, FEATURE_CHANGES, NOWHERE, VERDICT_MASK, Changed, P, Place, S, Span
from lab.engine.native.core.apart import note_plain
from lab.engine.native.core.counts import counted, place_index, vector
from lab.engine.native.core.features import VECTOR, dynamic
from lab.engine.native.core.judge import oracle
from lab.engine.native.core.memory import facts, span
from lab.engine.native.core.recall import GROUP, codes_taken_over, learn, recalled, taken_over, usable
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call2, call3, get, load8, load64, put, store8
from lab.unwind.api import BLOCKED, BOUNDARY, CALL


def boundary_stop(s, place):
    """Before the instruction at PC: all is said again where nothing has changed."""
    changed = get(s, S.CHANGED)
    if changed != 0:
        own = facts(s, get(s, S.OWN))
        put(s, S.CHANGED, 0)
        if changed & get(s, S.ASK) or (changed & Changed.SP and exception_at(s) > get(s, S.LOWEST_ALL)):
            unsure = asked_again(s, place, own, changed)
            put(s, S.CHANGED, get(s, S.CHANGED) | unsure)  # Python may have written to the guest meanwhile
            changed = changed | get(s, S.CHANGED)
        anew = changed & FEATURE_CHANGES or get(s, S.MEMO) == 0
        features = dynamic(s, own) if anew else get(s, S.KEY) & 0xFFFF_FFFF
        put(s, S.KEY, get(s, S.VECTOR) << VECTOR | features)
    key = get(s, S.KEY)
    if get(place, Place.KEY) == key:
        put(place, Place.STOPS, get(place, Place.STOPS) + 1)
        return 0
    if get(place, Place.STOPS):
        counted(s, place, BOUNDARY, get(place, Place.KEY), get(place, Place.STOPS))
    put(place, Place.KEY, key)
    put(place, Place.STOPS, 1)
    return 0


def exception_at(s):
    """E: the kernel's entry has overwritten the stack below."""
    return (get(s, S.SP) - get(s, S.RED_ZONE)) & ~(get(s, S.EXCEPTION_ALIGN) - 1)


def asked_again(s, place, own, changed):
    """A boundary at which *changed* is not as it was; UNSURE if the next one has to be looked at in any case."""
    put(s, S.MODE, BOUNDARY)
    recalls = usable(s)
    if recalls:
        entry = recalled(s, BOUNDARY, get(own, Span.GROUP) & GROUP)
        if entry != 0:
            if taken_over(s, BOUNDARY, entry) == 0 and get(s, S.AUDIT) == 0 and get(s, S.APART) == 0:
                return 0
            at_boundary(s, own)
            return looked_at(s, place, BOUNDARY, changed)
    at_boundary(s, own)
    unsure = judged(s, place, BOUNDARY, changed, False)
    if recalls:
        learn(s, BOUNDARY, get(own, Span.GROUP) & GROUP)
    return unsure


def at_boundary(s, own):
    """The rest of what unwinders are told of a boundary in span *own*."""
    end = exception_at(s)
    put(s, S.EXCEPTION_AT, end)
    put(s, S.PLAIN_LOW, max(end, get(s, S.STACK_LOW)))
    put(s, S.PC_NAMED, get(own, Span.NAMED))
    put(s, S.PC_RUNNING, get(own, Span.RUNNING))
    return 0


def looked_at(s, place, mode, changed):
    """The verdicts that were taken over, for Python to keep their stacks or to audit, and the verdicts of the unwinders
    that are set apart; UNSURE as for ``judged``."""
    codes_taken_over(s, mode)
    if get(s, S.APART):
        return judged(s, place, mode, changed, True)
    unsure = 0
    at = get(s, S.UNWINDERS)
    count = get(s, S.UNWINDER_COUNT)
    index = 0
    while index < count:
        unsure = unsure | looked_through(s, place, mode, index, load64(at + index * 8))
        index = index + 1
    audited(s)
    return unsure


def looked_through(s, place, mode, index, p):
    """Has the stack kept of what *p* said last, if it is to be; UNSURE then, as the next stop is at another place."""
    verdict = get(p, P.LAST + mode) & VERDICT_MASK
    if verdict == EXACT or get(p, P.FULL + mode):
        return 0
    keep_stack(s, place, mode, index, verdict)
    return Changed.UNSURE


def audited(s):
    """Has Python compare this stop with the reference, if that is due."""
    if get(s, S.AUDIT):
        put(s, S.AUDIT, 0)
        call3(get(s, S.EVENT), Event.AUDIT, 0, 0)
    return 0


def call_stop(s, place):
    """Directly after a call: PC is its return address, SP as it was at the call."""
    pc = get(s, S.PC)
    caller = span(s, pc - 1)
    put(s, S.MODE, CALL)
    put(s, S.EXCEPTION_AT, 0)
    put(s, S.PLAIN_LOW, get(s, S.STACK_LOW))
    put(s, S.PC_NAMED, get(span(s, pc), Span.NAMED))
    put(s, S.PC_RUNNING, get(caller, Span.RUNNING))
    recalls = usable(s)
    entry = recalled(s, CALL, pc) if recalls else 0
    if entry == 0:
        judged(s, place, CALL, get(s, S.CHANGED), False)
        if recalls:
            learn(s, CALL, pc)
    elif taken_over(s, CALL, entry) or get(s, S.AUDIT) or get(s, S.APART):
        looked_at(s, place, CALL, get(s, S.CHANGED))
    counted(s, place, CALL, get(s, S.VECTOR_CALL) << VECTOR | dynamic(s, caller), 1)
    return 0


def watched(s, place, pc):
    """Python may have a stop made here: it sets PC, SP and the other registers, and counts it afterwards."""
    mode = call3(get(s, S.EVENT), Event.WATCHED, pc, 0)
    if mode != 0:
        seen = get(s, S.PC)
        put(s, S.MODE, mode)
        put(s, S.EXCEPTION_AT, 0)
        put(s, S.PLAIN_LOW, get(s, S.STACK_LOW))
        put(s, S.PC_NAMED, get(span(s, seen), Span.NAMED))
        put(s, S.PC_RUNNING, get(span(s, seen - 1 if mode == BLOCKED else seen), Span.RUNNING))
        judged(s, place, mode, get(s, S.CHANGED), False)
        call3(get(s, S.EVENT), Event.STOPPED, mode, 0)
    return 0


def judged(s, place, mode, changed, recalled_others):
    """Every unwinder's code at this stop (*recalled_others*: of those that are set apart; the others' are taken over);
    UNSURE unless each lasts until what it reads changes."""
    low = get(s, S.PLAIN_LOW)
    at = get(s, S.UNWINDERS)
    count = get(s, S.UNWINDER_COUNT)
    unsure = 0 if get(s, S.MEMO) else Changed.UNSURE
    behind = get(s, S.BEHIND + mode) if mode <= CALL and not recalled_others else 0
    other = behind
    begin_together(s)
    lowest = get(s, S.LOWEST_ALL) if recalled_others else NOWHERE
    ask = get(s, S.ASK) if recalled_others else Changed.TRUTH | Changed.UNSURE
    index = 0
    while index < count:
        p = load64(at + index * 8)
        apart = get(p, P.APART)
        if apart or not recalled_others:
            code = get(p, P.LAST + mode)
            new = code
            if behind and apart == 0:
                put(p, P.CLEAN, 0)
            if get(p, P.EVALUATE) == 0:
                new = oracle(s)
            elif stale(p, mode, changed, low):
                new = call2(get(p, P.EVALUATE), s, p)
                if get(p, P.CLEAN) == 0:
                    unsure = Changed.UNSURE
            lowest = min(lowest, get(p, P.LOWEST))
            ask = ask | get(p, P.ACTIVE)
            if new != code:
                put(p, P.LAST + mode, new)
                other = 1
            if recalled_others and new != get(p, P.SAID):
                other = 1
            if apart == 0:
                told_together(s, p, new)
        unsure = unsure | looked_through(s, place, mode, index, p)
        index = index + 1
    put(s, S.LOWEST_ALL, lowest)
    put(s, S.ASK, ask)
    if not recalled_others:
        if mode <= CALL:
            put(s, S.BEHIND + mode, 0)
        put(s, S.FLOOR, get(s, S.DEPTH))
    if other:
        put(s, S.VECTOR + mode, vector(s, mode))
    audited(s)
    return unsure


def begin_together(s):
    """Nothing is known yet of the unwinders that are recalled together."""
    put(s, S.ALL_PLAIN, 1)
    put(s, S.ALL_EXACT, 1)
    put(s, S.SHADOW_READ, 0)
    put(s, S.HW_READ, NOWHERE)
    put(s, S.LOWEST_TOGETHER, NOWHERE)
    put(s, S.ASK_TOGETHER, Changed.TRUTH | Changed.UNSURE)
    return 0


def told_together(s, p, code):
    """What *p*, one of them, rests on, and whether it says *code* EXACT."""
    put(s, S.ALL_PLAIN, get(s, S.ALL_PLAIN) & get(p, P.PLAIN))
    put(s, S.SHADOW_READ, max(get(s, S.SHADOW_READ), get(p, P.SHADOW_READ)))
    put(s, S.HW_READ, min(get(s, S.HW_READ), get(p, P.HW_READ)))
    put(s, S.LOWEST_TOGETHER, min(get(s, S.LOWEST_TOGETHER), get(p, P.LOWEST)))
    put(s, S.ASK_TOGETHER, get(s, S.ASK_TOGETHER) | get(p, P.ACTIVE))
    if code & VERDICT_MASK != EXACT:
        put(s, S.ALL_EXACT, 0)
    note_plain(s, p)
    return 0


def stale(p, mode, changed, low):
    """Whether the unwinder has to be asked; and in STALE whether it has to walk, or only be judged anew."""
    reads = changed & get(p, P.ACTIVE)
    whole = 0 if get(p, P.KEPT) == CAPPED else Changed.TRUTH  # a walk by the path can be judged without being made
    anew = mode != BOUNDARY or get(p, P.CLEAN) == 0 or reads & ~whole or get(p, P.DIRTY)
    if anew or (changed & Changed.SP and get(p, P.LOWEST) < low):
        put(p, P.STALE, 1)
        return True
    put(p, P.STALE, 0)
    return reads != 0


def keep_stack(s, place, mode, index, verdict):
    """Python keeps this stop's stacks, once for each place and verdict."""
    at = get(s, S.SEEN) + (place_index(s, place) * 2 + mode) * get(s, S.UNWINDER_COUNT) + index
    seen = load8(at)
    bit = verdict_bit(verdict)
    if seen & bit == 0:
        store8(at, seen | bit)
        call3(get(s, S.EVENT), Event.KEEP, index, mode)
    return 0


def verdict_bit(verdict):
    """A bit for each verdict."""
    bit = 1
    while verdict != 0:
        bit = bit << 1
        verdict = verdict - 1
    return bit
