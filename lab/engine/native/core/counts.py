"""Verdict vectors, interned as a tree, and how often each was said with which features at which place."""

from __future__ import annotations

from lab.engine.native.cells import P, S
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, load32, load64, put, store32


def unwinder(s, index):
    """The block of unwinder number *index*."""
    return load64(get(s, S.UNWINDERS) + index * 8)


def last_code(p, mode):
    """What the unwinder said at the last stop of this mode."""
    return get(p, P.LAST + mode)


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
        if get(s, S.STOP):
            return 0
    put(s, S.NODE_COUNT, number + 1)
    at = node_at(s, number)
    put(at, 0, code)
    put(at, 1, 0)
    put(at, 2, get(node_at(s, parent), 1))
    put(at, 3, parent)
    put(node_at(s, parent), 1, number)
    return number


def counted(s, place, mode, key, stops):
    """*stops* stops more at *place* with *key*; the entries of a place and mode are a list, the last used in front."""
    number_of_list = place_index(s, place) * 2 + mode
    lists = get(s, S.LISTS) + number_of_list * 4
    head = load32(lists)
    before = 0
    number = head
    while number != 0:
        at = get(s, S.ENTRIES) + number * 32
        if get(at, 1) == key:
            put(at, 2, get(at, 2) + stops)
            if before != 0:
                put(before, 3, get(at, 3))
                put(at, 3, head)
                store32(lists, number)
            return 0
        before = at
        number = get(at, 3)
    number = get(s, S.ENTRY_COUNT)
    if number >= get(s, S.ENTRY_LIMIT):
        call3(get(s, S.EVENT), Event.GROW_ENTRIES, 0, 0)
        if get(s, S.STOP):
            return 0
    put(s, S.ENTRY_COUNT, number + 1)
    at = get(s, S.ENTRIES) + number * 32
    put(at, 0, number_of_list)
    put(at, 1, key)
    put(at, 2, stops)
    put(at, 3, head)
    store32(lists, number)
    return 0


def place_index(s, place):
    """The number of the place whose record is at *place*."""
    return (place - get(s, S.PLACES)) >> 5
