"""The path: the steps that the last walk made, from its end inwards, and the marks of what they read."""

from __future__ import annotations

from lab.engine.native.cells import CLEAN, PATH_LIMIT, RELEVANT, START_LEVEL, WORD, P, Record, S
from lab.engine.native.core.cursors import copy_cursor, hash_cursor, hash_words, same_cursor
from lab.engine.native.core.judge import continued, record
from lab.engine.native.core.memory import shorten
from lab.engine.native.core.told import marks_begin
from lab.engine.native.primitives import get, load32, load64, put, store32, store64
from lab.unwind.api import FRAME
from lab.unwind.host import STEP_BUDGET

CURSOR = Record.CURSOR * WORD


def clamp(s, p):
    """Activations have ended since the last stop: what was known of deeper levels is not known any more."""
    floor = get(s, S.FLOOR)
    have = get(p, P.EQUAL)
    while have > 1 and get(record(p, have), Record.FRAMES) > floor:
        have = have - 1
    put(p, P.EQUAL, have)
    return 0


def known(s, p, cursor, steps):
    """The level of the path at which *cursor* is, if the tail from there may be used now; else 0."""
    top = get(p, P.TOP)
    if top == 0:
        return 0
    level = get(p, P.HINT)
    if level == 0 or level > top or not same_cursor(record(p, level) + CURSOR, cursor):
        level = load32(get(p, P.INDEX) + hash_cursor(cursor) * 4)
        if level == 0 or level > top or not same_cursor(record(p, level) + CURSOR, cursor):
            return 0
        put(p, P.HINT, level)
    if steps + level > STEP_BUDGET or get(record(p, level), Record.LOWEST) < get(s, S.PLAIN_LOW):
        return 0
    return level if fits(p, level, steps) else 0


def fits(p, level, steps):
    """Whether *steps* and the addresses from *level* on are surely within the unwinder's cap.  True or false."""
    cap = get(p, P.CAP)
    return cap == 0 or steps + get(record(p, level), Record.FRAMES) <= cap


def keep(s, p, steps, level):
    """Put the prefix's steps, but for the first, upon *level* of the path, as far out as they can be kept; 1 if all
    of them could."""
    width = get(p, P.WIDTH)
    at = get(p, P.PREFIX) + (steps - 1) * width
    if get(at, Record.FRAMES) or steps - 1 + level > PATH_LIMIT:
        return 0
    shorten(p, level)  # the walk at hand is the last one now, and does not rest on what goes
    left = steps - 1
    while left != 0 and get(at, Record.FRAMES) == 0:
        level = level + 1
        keep_step(s, p, at, level)
        at = at - width
        left = left - 1
    put(p, P.TOP, level)
    put(p, P.VERSION, get(p, P.VERSION) + 1)
    return 1 if left == 0 else 0


def keep_step(s, p, at, level):
    """The prefix's record at *at* becomes *level* of the path, and what it read is marked."""
    to = record(p, level)
    copy_cursor(to + CURSOR, at + CURSOR)
    status = get(at, Record.STATUS)
    lowest = get(at, Record.LOWEST)
    shadow = get(at, Record.SHADOW)
    hardware = get(at, Record.HARDWARE)
    frames = 1 if status == FRAME else 0
    below = CLEAN
    if level > 1:
        beyond = record(p, level - 1)
        lowest = min(lowest, get(beyond, Record.LOWEST))
        shadow = max(shadow, get(beyond, Record.SHADOW))
        hardware = min(hardware, get(beyond, Record.HARDWARE))
        frames = frames + get(beyond, Record.FRAMES)
        below = get(beyond, Record.SUMMARY)
    serial = get(p, P.SERIAL) + 1
    put(p, P.SERIAL, serial)
    put(to, Record.SERIAL, serial)
    put(to, Record.STATUS, status)
    put(to, Record.RA, get(at, Record.RA))
    put(to, Record.LOWEST, lowest)
    put(to, Record.SHADOW, shadow)
    put(to, Record.HARDWARE, hardware)
    put(to, Record.FRAMES, frames)
    put(to, Record.SUMMARY, continued(status, below))
    store32(get(p, P.INDEX) + hash_words(at + CURSOR) * 4, level)
    log = get(s, S.LOG) + get(at, Record.SERIAL) * 8
    end = get(s, S.LOG) + get(at, Record.SUMMARY) * 8
    while log < end:
        mark(s, p, load64(log), level, serial)
        log = log + 8
    return 0


def masked(s, p, slot):
    """A store to *slot* concerns this unwinder."""
    masks = get(s, S.MASKS) + slot * 8
    mask = load64(masks)
    if mask & get(p, P.BIT) == 0:
        if get(p, P.APART):
            store64(masks, mask | get(p, P.BIT))
            return 0
        store64(masks, mask | get(p, P.BIT) | RELEVANT)
        if mask & get(s, S.TOGETHER) == 0:
            marks_begin(s, slot, mask)
    return 0


def mark(s, p, slot, level, serial):
    """A store to *slot* takes *level* away; a mark of a level further out that still holds does so already."""
    masked(s, p, slot)
    marks = get(p, P.MARKS) + slot * 8
    old = load64(marks)
    old_level = old & 0xFFFF
    if old_level == 0 or old_level > level or get(record(p, old_level), Record.SERIAL) != old >> 16:
        store64(marks, serial << 16 | level)
    return 0


def mark_start(s, p, logged):
    """The first *logged* slots of the log were read by this walk's first step: a store there makes it dirty."""
    log = get(s, S.LOG)
    one = load64(log)
    two = load64(log + 8)
    if logged > 2 or logged != get(p, P.START_COUNT) or one != get(p, P.START_ONE) or two != get(p, P.START_TWO):
        serial = get(p, P.SERIAL) + 1
        put(p, P.SERIAL, serial)
        put(p, P.START_SERIAL, serial)
        put(p, P.START_COUNT, logged)
        put(p, P.START_ONE, one)
        put(p, P.START_TWO, two)
    serial = get(p, P.START_SERIAL)
    end = log + logged * 8
    while log < end:
        slot = load64(log)
        masked(s, p, slot)
        marks = get(p, P.MARKS) + slot * 8
        old = load64(marks)
        level = old & 0xFFFF
        if level == 0 or level > get(p, P.TOP) or get(record(p, level), Record.SERIAL) != old >> 16:
            store64(marks, serial << 16 | START_LEVEL)
        log = log + 8
    return 0
