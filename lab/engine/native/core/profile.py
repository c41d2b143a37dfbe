"""Counting per instruction: executions, loads, stores and bytes at each place, and how often control went where."""

from __future__ import annotations

from lab.engine.native.cells import TICKS
from lab.engine.native.classify import REPEAT
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, load64, put, store64
from lab.engine.native.profile_cells import EDGE_WORDS, RECORD_WORDS, F, Record

MIX = 0x9E37_79B9_7F4A_7C15  # 2**64 / golden ratio (Knuth, TAOCP 3, 6.4)


def profile_hook(_uc, pc, _size, c):
    """The instruction at *pc* is about to execute."""
    place = pc - get(c, F.CODE_LOW)
    record = get(c, F.RECORDS) + place * (8 * RECORD_WORDS)
    code = load64(record)
    if code == 0:
        call3(get(c, F.EVENT), Event.DECODE, pc, 0)
        if get(c, F.STOP):
            return
        code = load64(record)
    hooks = get(c, F.HOOKS) + 1
    put(c, F.HOOKS, hooks)
    if hooks % TICKS == 0:
        call3(get(c, F.EVENT), Event.TICK, 0, 0)
    previous = get(c, F.PREVIOUS)
    if get(c, F.STOP) or (code & REPEAT != 0 and pc == previous):
        return
    if get(c, F.INSTRUCTIONS) >= get(c, F.LIMIT):
        call3(get(c, F.EVENT), Event.BUDGET, 0, 0)
        return
    if pc != get(c, F.FOLLOWING) and get(c, F.INSTRUCTIONS) != 0:
        origin = previous - get(c, F.CODE_LOW)
        count_edge(c, (origin << 32 | place) + 1)
    put(c, F.INSTRUCTIONS, get(c, F.INSTRUCTIONS) + 1)
    put(c, F.PREVIOUS, pc)
    put(c, F.FOLLOWING, pc + (code >> 8 & 0xFF))
    put(c, F.CURRENT, record)
    store64(record + 8 * Record.EXECUTIONS, load64(record + 8 * Record.EXECUTIONS) + 1)
    put(c, F.LOADED, 0)
    put(c, F.STORED, 0)


def count_edge(c, key):
    """Add one to the edge *key*; Python makes room where the table is half full, and then nothing was added yet."""
    at = find_edge(c, key)
    if load64(at) == 0:
        if 2 * get(c, F.EDGE_COUNT) > get(c, F.EDGE_MASK):
            call3(get(c, F.EVENT), Event.GROW_NODES, 0, 0)
            at = find_edge(c, key)
        store64(at, key)
        put(c, F.EDGE_COUNT, get(c, F.EDGE_COUNT) + 1)
    store64(at + 8, load64(at + 8) + 1)
    return 0


def find_edge(c, key):
    """The address of the entry of the edge *key*, or of the empty one where it belongs."""
    index = ((key * MIX) >> 40) & get(c, F.EDGE_MASK)
    while True:
        at = get(c, F.EDGES) + index * (8 * EDGE_WORDS)
        held = load64(at)
        if held == 0:
            return at
        if held == key:
            return at
        index = (index + 1) & get(c, F.EDGE_MASK)


def profile_access(_uc, kind, address, size, _value, c):
    """The instruction at hand reads or writes *size* bytes of memory."""
    record = get(c, F.CURRENT)
    if kind == get(c, F.WRITE_KIND):
        start = get(c, F.CHANGEABLE)
        if address < start + get(c, F.CHANGEABLE_SIZE) and address + size > start:
            call3(get(c, F.EVENT), Event.CODE_WRITTEN, address, size)
        store64(record + 8 * Record.BYTES_STORED, load64(record + 8 * Record.BYTES_STORED) + size)
        if get(c, F.STORED) == 0:
            put(c, F.STORED, 1)
            store64(record + 8 * Record.STORES, load64(record + 8 * Record.STORES) + 1)
    else:
        store64(record + 8 * Record.BYTES_LOADED, load64(record + 8 * Record.BYTES_LOADED) + size)
        if get(c, F.LOADED) == 0:
            put(c, F.LOADED, 1)
            store64(record + 8 * Record.LOADS, load64(record + 8 * Record.LOADS) + 1)
