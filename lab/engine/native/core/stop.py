"""One stop: every unwinder judged, the vector of their judgements interned, and one more counted."""

from __future__ import annotations

from lab.engine.native.cells import EXACT, VERDICT_MASK, Event, P, S, Span
from lab.engine.native.core.features import VECTOR, dynamic, last_code, set_last_code, unwinder
from lab.engine.native.core.judge import oracle
from lab.engine.native.core.memory import span
from lab.engine.native.primitives import call2, call3, get, load8, load32, put, store8, store32
from lab.unwind.api import CALL


def stop(s, place):
    """The stop described by the cells MODE .. SSP, at *place* of the code tables."""
    mode = get(s, S.MODE)
    pc = get(s, S.PC)
    own = span(s, pc)
    named = get(own, Span.NAMED)
    running = get(own, Span.RUNNING)
    if mode == CALL:
        running = get(span(s, pc - 1), Span.RUNNING)
    put(s, S.PC_NAMED, named)
    put(s, S.PC_RUNNING, running)
    count = get(s, S.UNWINDER_COUNT)
    changed = 0
    index = 0
    while index < count:
        p = unwinder(s, index)
        evaluator = get(p, P.EVALUATE)
        code = call2(evaluator, s, p) if evaluator != 0 else oracle(s)
        if code != last_code(p, mode):
            set_last_code(p, mode, code)
            changed = 1
        if code & VERDICT_MASK != EXACT and get(p, P.FULL + mode) == 0:
            keep_stack(s, place, mode, index, code & VERDICT_MASK)
        index = index + 1
    put(s, S.FLOOR, get(s, S.DEPTH))
    if changed:
        put(s, S.VECTOR + mode, vector(s, mode))
    if get(s, S.AUDIT):
        put(s, S.AUDIT, 0)
        call3(get(s, S.EVENT), Event.AUDIT, 0, 0)
    counted(s, place * 2 + mode, get(s, S.VECTOR + mode) << VECTOR | dynamic(s))
    return 0


def keep_stack(s, place, mode, index, verdict):
    """Python keeps this stop's stacks, once for each place and verdict."""
    at = get(s, S.SEEN) + (place * 2 + mode) * get(s, S.UNWINDER_COUNT) + index
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


def node_at(s, number):
    """The record of a node of the tree of vectors."""
    return get(s, S.NODES) + number * 32


def vector(s, mode):
    """The number of the vector of last codes: a leaf of a tree with one level for each unwinder."""
    number = 0
    count = get(s, S.UNWINDER_COUNT)
    index = 0
    while index < count:
        number = child(s, number, last_code(unwinder(s, index), mode))
        index = index + 1
    return number


def child(s, parent, code):
    """The child of node *parent* for *code*, made if it is not there."""
    number = get(node_at(s, parent), 1)
    while number != 0:
        if get(node_at(s, number), 0) == code:
            return number
        number = get(node_at(s, number), 2)
    number = get(s, S.NODE_COUNT)
    if number >= get(s, S.NODE_LIMIT):
        call3(get(s, S.EVENT), Event.GROW_NODES, 0, 0)
    put(s, S.NODE_COUNT, number + 1)
    at = node_at(s, number)
    put(at, 0, code)
    put(at, 1, 0)
    put(at, 2, get(node_at(s, parent), 1))
    put(at, 3, parent)
    put(node_at(s, parent), 1, number)
    return number


def counted(s, place, key):
    """One stop more at *place* with *key*; the entries of a place are a list, the last one used in front."""
    heads = get(s, S.HEADS) + place * 4
    head = load32(heads)
    at = get(s, S.ENTRIES) + head * 32
    if head != 0 and get(at, 1) == key:
        put(at, 2, get(at, 2) + 1)
        return 0
    before = at
    number = get(at, 3) if head != 0 else 0
    while number != 0:
        at = get(s, S.ENTRIES) + number * 32
        if get(at, 1) == key:
            put(before, 3, get(at, 3))
            put(at, 3, head)
            put(at, 2, get(at, 2) + 1)
            store32(heads, number)
            return 0
        before = at
        number = get(at, 3)
    number = get(s, S.ENTRY_COUNT)
    if number >= get(s, S.ENTRY_LIMIT):
        call3(get(s, S.EVENT), Event.GROW_ENTRIES, 0, 0)
    put(s, S.ENTRY_COUNT, number + 1)
    at = get(s, S.ENTRIES) + number * 32
    put(at, 0, place)
    put(at, 1, key)
    put(at, 2, 1)
    put(at, 3, head)
    store32(heads, number)
    return 0
