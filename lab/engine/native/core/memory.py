"""Guest memory as an unwinder sees it, and stores that make memoised walks forget."""

from __future__ import annotations

from lab.engine.native.cells import (
    FAULT_POISON,
    FAULT_UNMAPPED,
    FRAME_CONSTANT,
    FRAME_FLAGS,
    FRAME_PC,
    RECALLS,
    RELEVANT,
    SPAN_WORDS,
    START_LEVEL,
    WORD,
    Changed,
    P,
    Record,
    S,
    Span,
)
from lab.engine.native.core.chain import new_epoch
from lab.engine.native.core.told import overwritten
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, load8, load32, load64, put, store64

SPAN_SIZE = SPAN_WORDS * WORD


def mapping_of(s, address):
    """The mapping record that holds *address*, 0 where none does."""
    at = get(s, S.MAPS)
    end = get(s, S.MAPS_END)
    while at < end:
        if get(at, 0) <= address < get(at, 1):
            return at
        at = at + 32
    return 0


def plain64(s, address):
    """(1, the guest's eight bytes at *address*) or (0, 0) where they are not all in one mapping."""
    if get(s, S.STACK_LOW) <= address <= get(s, S.STACK_LAST):
        return 1, load64(get(s, S.STACK_HOST) + address)
    at = mapping_of(s, address)
    if at == 0 or address > get(at, 1) - 8:
        return 0, 0
    return 1, load64(get(at, 2) + address)


def span(s, address):
    """The facts of the code at *address*; those of no code outside it."""
    offset = address - get(s, S.CODE_LOW)
    if offset >= get(s, S.CODE_SIZE):
        return get(s, S.SPAN_FACTS)
    return get(s, S.SPAN_FACTS) + load32(get(s, S.SPANS) + offset * 4) * SPAN_SIZE


def facts(s, number):
    """The record of span *number*."""
    return get(s, S.SPAN_FACTS) + number * SPAN_SIZE


def where_code(s, mem, pc):
    """An unwinder's ``where``."""
    return get(span(s, pc), Span.WHERE)


def where_bytes(s, mem, pc):
    """An unwinder's ``where_offset``."""
    return get(span(s, pc), Span.WHERE_OFFSET)


def burn(s):
    """True while there is fuel; one unit less."""
    left = get(s, S.FUEL)
    if left == 0:
        put(s, S.SPENT, 1)
        return False
    put(s, S.FUEL, left - 1)
    return True


def used(s, registers, value):
    """*value*, which a step takes from its cursor and which is just that register."""
    put(s, S.USED, get(s, S.USED) | registers)
    return value


def fail(s, fault):
    """The first fault of a step is the one that counts."""
    if get(s, S.FAULT) == 0:
        put(s, S.FAULT, fault)
    return 0


def note(s, first_slot, offset):
    """A step has read the eight bytes at *offset* of the mapping whose slots begin at *first_slot*."""
    logged = get(s, S.LOGGED)
    if logged + 2 > get(s, S.LOG_LIMIT):
        put(s, S.TAINT, 1)
        return 0
    slot = first_slot + (offset >> 3)
    at = get(s, S.LOG) + logged * 8
    store64(at, slot)
    logged = logged + 1
    if offset & 7:
        store64(at + 8, slot + 1)
        logged = logged + 1
    put(s, S.LOGGED, logged)
    return 0


def read64(s, mem, address):
    """An unwinder's ``load64``: the exception's overlay, bounds, and a note of what was read."""
    if address >= get(s, S.PLAIN_LOW) and address <= get(s, S.STACK_LAST):
        if address < get(s, S.LOWEST):
            put(s, S.LOWEST, address)
        note(s, get(s, S.STACK_SLOT), address - get(s, S.STACK_LOW))
        return load64(get(s, S.STACK_HOST) + address)
    return read_elsewhere(s, address)


def read_elsewhere(s, address):
    """The same for what is not plain stack."""
    low = get(s, S.STACK_LOW)
    if address < get(s, S.EXCEPTION_AT) and address + 8 > low:
        put(s, S.TAINT, 1)
        return read_overlaid(s, address)
    if address + 8 > low and address < get(s, S.STACK_HIGH) and address < get(s, S.LOWEST):
        put(s, S.LOWEST, address)
    at = mapping_of(s, address)
    if at == 0 or address > get(at, 1) - 8:
        return fail(s, FAULT_UNMAPPED)
    if address - get(s, S.SHADOW_LOW) < get(s, S.SHADOW_SLOTS) << 3:
        put(s, S.STEP_SHADOW, max(get(s, S.STEP_SHADOW), address + 8))
    elif address - get(s, S.HW_BASE) < get(s, S.HW_SLOTS) << 3:
        put(s, S.STEP_HW, min(get(s, S.STEP_HW), address))
    note(s, get(at, 3), address - get(at, 0))
    return load64(get(at, 2) + address)


def read_overlaid(s, address):
    """Eight bytes of which at least one lies in pt_regs or in the poison below it."""
    end = get(s, S.EXCEPTION_AT)
    low = end - get(s, S.FRAME_SIZE)
    if address < low:
        return fail(s, FAULT_POISON)
    value = 0
    index = 0
    while index < 8:
        byte = 0
        at = address + index
        if at < end:
            word = frame_word(s, (at - low) >> 3)
            byte = word_byte(word, (at - low) & 7)
        else:
            map_at = mapping_of(s, end)
            if map_at == 0 or at >= get(map_at, 1):
                return fail(s, FAULT_UNMAPPED)
            byte = load8(get(map_at, 2) + at)
        value = value | shifted(byte, index)
        index = index + 1
    return value


def word_byte(word, index):
    """Byte number *index* of *word*."""
    while index != 0:
        word = word >> 8
        index = index - 1
    return word & 0xFF


def shifted(byte, index):
    """*byte* as byte number *index* of a word."""
    while index != 0:
        byte = byte << 8
        index = index - 1
    return byte


def frame_word(s, index):
    """Word number *index* of the pt_regs that this stop's exception would have left."""
    kind = load8(get(s, S.FRAME_WORDS) + index)
    if kind == FRAME_CONSTANT:
        return load64(get(s, S.FRAME_CONSTANTS) + index * 8)
    if kind == FRAME_PC:
        return get(s, S.PC)
    if kind == FRAME_FLAGS:
        return call3(get(s, S.EVENT), Event.FLAGS, 0, 0)
    return load64(get(s, S.REGISTERS) + kind * 8)


def stored(s, address, size):
    """The guest is about to write [address, address + size): what rests on it is forgotten."""
    first_slot = get(s, S.STACK_SLOT)
    if get(s, S.WATCH_ONE) + 7 - address < size + 7 or get(s, S.WATCH_TWO) + 7 - address < size + 7:
        put(s, S.CHANGED, get(s, S.CHANGED) | Changed.MEMORY)
    start = get(s, S.STACK_LOW)
    end = get(s, S.STACK_HIGH)
    last = address + size - 1
    if address < get(s, S.CHANGE_HIGH) and last >= get(s, S.CHANGE_LOW):
        call3(get(s, S.EVENT), Event.CODE_WRITTEN, address, size)
        if get(s, S.SITES_ASKED):
            forget_all(s)
    if address < start or address >= end:
        at = mapping_of(s, address)
        if at == 0:
            forget_all(s)
            return 0
        start = get(at, 0)
        end = get(at, 1)
        first_slot = get(at, 3)
    if last >= end or last < address:
        forget_all(s)
        return 0
    slot = first_slot + ((address - start) >> 3)
    to = first_slot + ((last - start) >> 3)
    masks = get(s, S.MASKS)
    while slot <= to:
        mask = load64(masks + slot * 8)
        if mask != 0:
            store64(masks + slot * 8, mask & RELEVANT)
            forget_slot(s, mask & ~RELEVANT, slot)
            if mask & RELEVANT and get(s, S.RECALL) == RECALLS and overwritten(s, slot):
                put(s, S.CHANGED, get(s, S.CHANGED) | Changed.UNSURE)
        slot = slot + 1
    return 0


def forget_slot(s, mask, slot):
    """Every walk that read *slot* is intact only beyond the step that did."""
    unwinders = get(s, S.UNWINDERS)
    while mask != 0:
        if mask & 1:
            p = load64(unwinders)
            mark = load64(get(p, P.MARKS) + slot * 8)
            level = mark & 0xFFFF
            if level == START_LEVEL:
                if mark >> 16 == get(p, P.START_SERIAL):
                    put(p, P.DIRTY, 1)
                    put(s, S.CHANGED, get(s, S.CHANGED) | Changed.UNSURE)
            elif level != 0 and level <= get(p, P.TOP) and serial_at(p, level) == mark >> 16:
                cut(p, level - 1)
                put(s, S.CHANGED, get(s, S.CHANGED) | Changed.UNSURE)
        mask = mask >> 1
        unwinders = unwinders + 8
    return 0


def serial_at(p, level):
    """The number of the path's record at *level*."""
    return get(get(p, P.PATH) + level * get(p, P.WIDTH), Record.SERIAL)


def forget_all(s):
    """Nothing memoised is known to hold."""
    put(s, S.CHANGED, get(s, S.CHANGED) | Changed.MEMORY | Changed.UNSURE)
    new_epoch(s)
    unwinders = get(s, S.UNWINDERS)
    end = unwinders + get(s, S.UNWINDER_COUNT) * 8
    while unwinders < end:
        cut(load64(unwinders), 0)
        put(load64(unwinders), P.DIRTY, 1)
        unwinders = unwinders + 8
    return 0


def cut(p, level):
    """Only *level* levels of the path hold; what the last walk said rested on more."""
    if get(p, P.TOP) > level:
        put(p, P.DIRTY, 1)
    shorten(p, level)
    return 0


def shorten(p, level):
    """Only *level* levels of the path are left."""
    if get(p, P.TOP) > level:
        put(p, P.TOP, level)
        put(p, P.VERSION, get(p, P.VERSION) + 1)
    if get(p, P.EQUAL) > level:
        put(p, P.EQUAL, level)
    return 0
