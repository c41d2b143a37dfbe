"""The true call stack, kept by the hook itself: the same definitions as ``lab.truth``, written independently.

Levels count from 1, the outermost activation, so that a deeper call leaves what is known of the others as it is.
"""

from __future__ import annotations

from lab.engine.native.cells import CALLED, INTERRUPTED, NOWHERE, TAKEN, Changed, S, Span, Truth
from lab.engine.native.core.activation import activation
from lab.engine.native.core.memory import facts, span
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, load64, put, store64


def before(s, pc, sp, own):
    """An instruction at *pc*, in span *own*, is about to execute: apply what the one before did."""
    called = get(s, S.PENDING)
    if called:
        put(s, S.PENDING, 0)
        push(s, called)
    depth = get(s, S.DEPTH)
    while depth != 0 and sp > get(activation(s, depth), Truth.AT_CALL):
        depth = pop(s)
    if depth != 0 and get(activation(s, depth), Truth.AT_CALL) == sp and not (called and called_away(s, own)):
        level = landed(s, pc, sp)
        if level == 0 and not called and own != get(s, S.OWN):
            level = landed_beside(s, pc, sp, facts(s, own))
        if level != 0:
            while get(s, S.DEPTH) >= level:
                pop(s)
    return 0


def called_away(s, own):
    """Whether the call that has just retired led to another function, to which span *own* belongs."""
    return get(facts(s, own), Span.BODY) != get(activation(s, get(s, S.DEPTH)), Truth.BODY)


def landed(s, pc, sp):
    """The level of the innermost activation that returns to *pc* with this SP, 0 if there is none."""
    level = get(s, S.DEPTH)
    while level != 0:
        at = activation(s, level)
        if get(at, Truth.AT_CALL) != sp:
            return 0
        if get(at, Truth.RA) == pc:
            return level
        level = level - 1
    return 0


def landed_beside(s, pc, sp, own):
    """The same for a landing in the middle of the function that made the call, from outside it."""
    body = get(own, Span.BODY)
    if body in (0, pc) or get(facts(s, get(s, S.OWN)), Span.BODY) == body:
        return 0
    level = get(s, S.DEPTH)
    while level != 0:
        at = activation(s, level)
        if get(at, Truth.AT_CALL) != sp:
            return 0
        if get(at, Truth.BODY) == body:
            return level
        level = level - 1
    return 0


def push(s, called):
    """The pending call has retired, or the exception been taken: one activation more."""
    level = get(s, S.DEPTH) + 1
    if level >= get(s, S.TRUTH_LIMIT):
        call3(get(s, S.EVENT), Event.GROW_TRUTH, 0, 0)
        if get(s, S.STOP):
            return 0
    ra = get(s, S.PENDING_RA)
    at = activation(s, level)
    caller = span(s, ra - 1 if called == CALLED else ra)  # an interrupted function may begin at ra
    named = get(span(s, ra), Span.NAMED)
    running = get(caller, Span.RUNNING)
    put(at, Truth.RA, ra)
    put(at, Truth.AT_CALL, get(s, S.PENDING_SP))
    put(at, Truth.MARKER, get(s, S.PENDING_MARKER))
    put(at, Truth.NAMED, named)
    put(at, Truth.RUNNING, running)
    put(at, Truth.BODY, get(caller, Span.BODY))
    if running not in (0, named):
        put(at, Truth.BAD, level)
    else:
        put(at, Truth.BAD, get(activation(s, level - 1), Truth.BAD))
    taken = called & TAKEN
    interrupted = get(activation(s, level - 1), Truth.IS_FIRST) & INTERRUPTED | taken | taken << 1
    put(at, Truth.IS_FIRST, interrupted)
    first = get(s, S.FIRST) + named * 8
    if named != 0 and load64(first) == 0:
        store64(first, level)
        put(at, Truth.IS_FIRST, interrupted | 1)
    put(s, S.DEPTH, level)
    put(s, S.LEVELS_HOLD, min(get(s, S.LEVELS_HOLD), level - 1))
    put(s, S.CALLS, get(s, S.CALLS) + (called & CALLED))
    put(s, S.TRUTH_VERSION, get(s, S.TRUTH_VERSION) + 1)
    set_top(s, level)
    put(s, S.CHANGED, get(s, S.CHANGED) | Changed.TRUTH)
    return 0


def set_top(s, depth):
    """The activation at *depth* is the innermost one."""
    if depth == 0:
        put(s, S.TOP_AT_CALL, NOWHERE)
        return 0
    at = activation(s, depth)
    at_call = get(at, Truth.AT_CALL)
    alone = depth == 1 or get(activation(s, depth - 1), Truth.AT_CALL) != at_call
    put(s, S.TOP_AT_CALL, at_call)
    put(s, S.TOP_RA, get(at, Truth.RA) if alone else NOWHERE)
    return 0


def pop(s):
    """The innermost activation has ended; the depth that is left."""
    depth = get(s, S.DEPTH)
    at = activation(s, depth)
    if get(at, Truth.IS_FIRST) & 1:
        store64(get(s, S.FIRST) + get(at, Truth.NAMED) * 8, 0)
    depth = depth - 1
    put(s, S.DEPTH, depth)
    if depth < get(s, S.FLOOR):
        put(s, S.FLOOR, depth)
    put(s, S.TRUTH_VERSION, get(s, S.TRUTH_VERSION) + 1)
    set_top(s, depth)
    put(s, S.CHANGED, get(s, S.CHANGED) | Changed.TRUTH)
    return depth
