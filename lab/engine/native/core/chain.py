"""Numbers for what memory and the true stack hold: equal numbers mean equal contents.

A number stands for a sequence of pairs of words, its links.  ``link`` gives the sequence that goes on from a number
with one pair more: the number it gave before, where that is still in its table, else one that was never given.  So
what has been lost from the table costs only that equal contents are not seen to be equal.

Three sequences are kept, each with as many of its numbers as are known to hold:

* levels: for each activation from the outermost, its return address and SP, and then every *relevant* word of the
  stack between its SP and that of the activation outside it;
* the shadow stack's relevant words, from its base to its pointer; and the hardware's, from its limit.

A word is relevant once any walk that is remembered has read it, and stays so.  A store to a relevant word shortens
the sequence that it is in.  Relevant words elsewhere are few, and looked at themselves; where there are more, a store
to one of them begins an *epoch*, in which no number means what it meant before.
"""

from __future__ import annotations

from lab.engine.native.cells import (
    CHAIN_LIMIT,
    EXCEPTION,
    INTERRUPTED,
    LINKS_SIZE,
    NOWHERE,
    OTHERS,
    RELEVANT,
    S,
    Truth,
)
from lab.engine.native.core.activation import activation
from lab.engine.native.primitives import get, load64, put, store64

FLAGS = 1 << 63  # stands where an address or ~slot would, and is neither
MIX, MIX_ONE, MIX_TWO = 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9  # odd, and nothing else
REGION_LIMIT = 64  # slots of one activation that are looked through


def fresh(s):
    """A number that was never given."""
    number = get(s, S.NUMBERS) + 1
    put(s, S.NUMBERS, number)
    return number


def link(s, before, one, two):
    """The number of the sequence *before* with the pair (*one*, *two*) after it."""
    mixed = before * MIX + one * MIX_ONE + two * MIX_TWO
    mixed = (mixed ^ (mixed >> 32)) * MIX
    at = get(s, S.LINKS) + ((mixed >> 32) & (LINKS_SIZE - 1)) * 32
    if get(at, 0) == before and get(at, 1) == one and get(at, 2) == two:
        return get(at, 3)
    put(at, 0, before)
    put(at, 1, one)
    put(at, 2, two)
    number = fresh(s)
    put(at, 3, number)
    return number


def new_epoch(s):
    """No number given so far stands for anything that is so now."""
    number = fresh(s)
    store64(get(s, S.LEVEL_NUMBERS), number)
    store64(get(s, S.SHADOW_NUMBERS), number)
    store64(get(s, S.HW_NUMBERS), number)
    put(s, S.LEVELS_HOLD, 0)
    put(s, S.SHADOW_HOLDS, 0)
    put(s, S.HW_HOLDS, 0)
    return 0


def level_slot(s, level):
    """The first slot of the stack at hand that belongs to the activation at *level*; beyond all of them without one."""
    return (get(activation(s, level), Truth.AT_CALL) - get(s, S.STACK_LOW)) >> 3


def levels(s):
    """The number of all live activations and what lies in them; 0 where they are too many."""
    depth = get(s, S.DEPTH)
    if depth > CHAIN_LIMIT:
        return 0
    hold = get(s, S.LEVELS_HOLD)
    numbers = get(s, S.LEVEL_NUMBERS)
    if hold < depth:
        while hold < depth:
            number = load64(numbers + hold * 8)
            hold = hold + 1
            store64(numbers + hold * 8, level_link(s, number, hold))
        put(s, S.LEVELS_HOLD, depth)
    return load64(numbers + depth * 8)


def level_link(s, number, level):
    """The number of the activations up to *level*, *number* being that of those outside it."""
    at = activation(s, level)
    number = link(s, number, get(at, Truth.RA), get(at, Truth.AT_CALL))
    flags = get(at, Truth.IS_FIRST) & (INTERRUPTED | EXCEPTION)
    if flags != 0:
        number = link(s, number, FLAGS, flags)
    slots = get(s, S.STACK_SLOTS)
    slot = level_slot(s, level)
    end = min(level_slot(s, level - 1), slots)
    if slot >= end:
        return number
    if end - slot > REGION_LIMIT:
        return fresh(s)
    host = get(s, S.STACK_HOST) + get(s, S.STACK_LOW)
    masks = get(s, S.MASKS) + get(s, S.STACK_SLOT) * 8
    while slot < end:
        if load64(masks + slot * 8) & RELEVANT:
            number = link(s, number, ~slot, load64(host + slot * 8))
        slot = slot + 1
    return number


def shadow(s, pointer):
    """The number of what lies on the shadow stack up to *pointer*; 0 where that is not on it."""
    offset = pointer - get(s, S.SHADOW_LOW)
    count = offset >> 3
    if offset & 7 or count > get(s, S.SHADOW_SLOTS) or count > CHAIN_LIMIT:
        return 0
    numbers = get(s, S.SHADOW_NUMBERS)
    hold = get(s, S.SHADOW_HOLDS)
    masks = get(s, S.MASKS) + get(s, S.SHADOW_SLOT) * 8
    host = get(s, S.SHADOW_HOST) + get(s, S.SHADOW_LOW)
    while hold < count:
        number = load64(numbers + hold * 8)
        if load64(masks + hold * 8) & RELEVANT:
            number = link(s, number, hold, load64(host + hold * 8))
        hold = hold + 1
        store64(numbers + hold * 8, number)
        put(s, S.SHADOW_HOLDS, hold)
    return load64(numbers + count * 8)


def hardware(s):
    """The number of what lies on the hardware's shadow stack; 0 where its pointer is not on it."""
    offset = get(s, S.HW_LIMIT) - get(s, S.HSSP)
    count = offset >> 3
    if offset & 7 or count > get(s, S.HW_SLOTS) or count > CHAIN_LIMIT:
        return 0
    numbers = get(s, S.HW_NUMBERS)
    hold = get(s, S.HW_HOLDS)
    last = get(s, S.HW_SLOT) + get(s, S.HW_SLOTS) - 1
    while hold < count:
        number = load64(numbers + hold * 8)
        if load64(get(s, S.MASKS) + (last - hold) * 8) & RELEVANT:
            number = link(s, number, hold, load64(get(s, S.HW_HOST) + get(s, S.HW_LIMIT) - hold * 8 - 8))
        hold = hold + 1
        store64(numbers + hold * 8, number)
        put(s, S.HW_HOLDS, hold)
    return load64(numbers + count * 8)


def touched(s, slot):
    """What lies in the relevant *slot* is about to change, or *slot* is relevant from now on."""
    at = slot - get(s, S.STACK_SLOT)
    if at < get(s, S.STACK_SLOTS):
        level = min(get(s, S.LEVELS_HOLD), get(s, S.DEPTH))
        while level != 0 and at >= level_slot(s, level):
            level = level - 1
        put(s, S.LEVELS_HOLD, level)
        return True
    at = slot - get(s, S.SHADOW_SLOT)
    if at < get(s, S.SHADOW_SLOTS):
        put(s, S.SHADOW_HOLDS, min(get(s, S.SHADOW_HOLDS), at))
        return True
    at = slot - get(s, S.HW_SLOT)
    if at < get(s, S.HW_SLOTS):
        put(s, S.HW_HOLDS, min(get(s, S.HW_HOLDS), get(s, S.HW_SLOTS) - 1 - at))
        return True
    return False


def overwritten(s, slot):
    """A store is about to change the relevant *slot*."""
    if touched(s, slot):
        return 0
    others = get(s, S.OTHER_SLOTS)
    index = get(s, S.OTHER_COUNT)
    while index != 0:
        index = index - 1
        if load64(others + index * 16) == slot:
            return 0
    return new_epoch(s)


def relevant(s, slot):
    """*slot* is relevant from now on."""
    masks = get(s, S.MASKS) + slot * 8
    store64(masks, load64(masks) | RELEVANT)
    count = get(s, S.OTHER_COUNT)
    if touched(s, slot) or count >= OTHERS:
        return 0
    at = get(s, S.MAPS)
    end = get(s, S.MAPS_END)
    host = NOWHERE
    while at < end:
        first = get(at, 3)
        if slot >= first and slot - first < (get(at, 1) - get(at, 0)) >> 3:
            host = get(at, 2) + get(at, 0) + (slot - first) * 8
        at = at + 32
    if host != NOWHERE:
        others = get(s, S.OTHER_SLOTS) + count * 16
        store64(others, slot)
        store64(others + 8, host)
        put(s, S.OTHER_COUNT, count + 1)
    return 0
