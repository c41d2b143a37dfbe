"""Numbers for what memory and the true stack hold: equal numbers mean equal contents.

A number stands for a sequence of pairs of words, its links.  ``link`` gives the sequence that goes on from a number
with one pair more: the number it gave before, where that is still in its table, else one that was never given.  So
what has been lost from the table costs only that equal contents are not seen to be equal.

Three sequences are kept, each with as many of its numbers as are known to hold:

* levels: for each activation from the outermost, its return address and SP, and then words of the stack between its SP
  and that of the activation outside it: which ones is *told* by a bit for each slot;
* the shadow stack's relevant words, from its base to its pointer; and the hardware's, from its limit.

A slot is *marked* while a walk that is remembered rests on it, and *relevant* once it was, or was told of.  The numbers
tell of all slots that are marked.  That they tell of others too, which were marked in an earlier activation of the same
kind (``hinted``), is what makes them equal again before anything has been walked.

A store to a slot that is told of shortens the sequence.  Relevant words elsewhere are few, and looked at themselves;
where there are more, a store to one of them begins an *epoch*, in which no number means what it meant before.
"""

from __future__ import annotations

from lab.engine.native.cells import (
    CHAIN_LIMIT,
    EXCEPTION,
    HINTS_SIZE,
    INTERRUPTED,
    LINKS_SIZE,
    NOWHERE,
    OTHERS,
    RELEVANT,
    START_LEVEL,
    P,
    Record,
    S,
    Truth,
)
from lab.engine.native.core.activation import activation
from lab.engine.native.primitives import get, load8, load64, put, store64

FLAGS = 1 << 63  # stands where an address or ~slot would, and is neither
MIX, MIX_ONE, MIX_TWO = 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9  # odd, and nothing else
REGION = 64  # slots of one activation that are looked at


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


def levels(s, learning):
    """The number of all live activations and what lies in them; 0 where they are too many.

    *learning*: it shall tell of all marked slots, else of those alone that it told of before.
    """
    depth = get(s, S.DEPTH)
    if depth > CHAIN_LIMIT:
        return 0
    hold = get(s, S.LEVELS_HOLD)
    sound = min(get(s, S.LEVELS_SOUND), hold)
    if learning:
        while sound < min(hold, depth):
            if untold(s, sound + 1):
                hold = sound
            else:
                sound = sound + 1
        sound = depth
    put(s, S.LEVELS_SOUND, sound)
    numbers = get(s, S.LEVEL_NUMBERS)
    if hold < depth:
        while hold < depth:
            number = load64(numbers + hold * 8)
            hold = hold + 1
            store64(numbers + hold * 8, level_link(s, number, hold, learning))
        put(s, S.LEVELS_HOLD, depth)
    return load64(numbers + depth * 8)


def untold(s, level):
    """Whether a slot in the region of *level* is marked of which its number does not tell.  True or false."""
    bits = get(get(s, S.LEVEL_BITS), level)
    first = level_slot(s, level)
    end = min(level_slot(s, level - 1), get(s, S.STACK_SLOTS))
    return bits != NOWHERE and first < end and marked(s, first, end) & ~bits != 0


def level_link(s, number, level, learning):
    """The number of the activations up to *level*, *number* being that of those outside it."""
    at = activation(s, level)
    number = link(s, number, get(at, Truth.RA), get(at, Truth.AT_CALL))
    flags = get(at, Truth.IS_FIRST) & (INTERRUPTED | EXCEPTION)
    if flags != 0:
        number = link(s, number, FLAGS, flags)
    first = level_slot(s, level)
    end = min(level_slot(s, level - 1), get(s, S.STACK_SLOTS))
    put(get(s, S.LEVEL_BITS), level, 0)
    if first >= end:
        return number
    if end - first > REGION:
        put(get(s, S.LEVEL_BITS), level, NOWHERE)
        return fresh(s)
    hint = hinted(s, (get(at, Truth.RA) * MIX_ONE ^ first * MIX_TWO) + end)
    if learning:
        put(hint, 1, get(hint, 1) | marked(s, first, end))
    bits = get(hint, 1)
    put(get(s, S.LEVEL_BITS), level, bits)
    while bits != 0:
        if bits & 1:
            number = link(s, number, ~first, told_of(s, first))
        first = first + 1
        bits = bits >> 1
    return number


def told_of(s, slot):
    """What *slot* of the stack at hand holds, of which a number or a key tells: a store there has to be seen, though no
    walk may have read it yet (the hint may be from another stack)."""
    masks = get(s, S.MASKS) + (get(s, S.STACK_SLOT) + slot) * 8
    mask = load64(masks)
    if mask & RELEVANT == 0:
        store64(masks, mask | RELEVANT)
    return load64(get(s, S.STACK_HOST) + get(s, S.STACK_LOW) + slot * 8)


def hinted(s, context):
    """The record (context, bits) of the words that matter in a region of the stack whose place and use are *context*'s;
    without bits where nothing is known of it."""
    mixed = (context ^ (context >> 32)) * MIX
    at = get(s, S.HINTS) + ((mixed >> 40) & (HINTS_SIZE - 1)) * 16
    if get(at, 0) != mixed:
        put(at, 0, mixed)
        put(at, 1, 0)
    return at


def marked(s, first, end):
    """The slots of the stack from *first* to *end*, at most REGION of them, on which walks rest, from bit 0 on."""
    base = get(s, S.STACK_SLOT)
    masks = get(s, S.MASKS)
    bits = 0
    slot = base + end
    while slot > base + first:
        slot = slot - 1
        mask = load64(masks + slot * 8)
        if mask & ~RELEVANT != 0 and not rested_on(s, slot, mask & ~RELEVANT):
            mask = RELEVANT
            store64(masks + slot * 8, mask)
        bits = bits << 1 | (1 if mask & ~RELEVANT else 0)
    return bits


def rested_on(s, slot, mask):
    """Whether a walk of one of the unwinders of *mask* rests on *slot*: what else was read there is forgotten.  True or
    false."""
    unwinders = get(s, S.UNWINDERS)
    while mask != 0:
        if mask & 1:
            p = load64(unwinders)
            if holds(p, load64(get(p, P.MARKS) + slot * 8)):
                return True
        mask = mask >> 1
        unwinders = unwinders + 8
    return False


def holds(p, mark):
    """Whether *mark* is of a step that *p* remembers, or of the first step of its last walk.  True or false."""
    level = mark & 0xFFFF
    if level == START_LEVEL:
        return mark >> 16 == get(p, P.START_SERIAL)
    return 0 < level <= get(p, P.TOP) and get(get(p, P.PATH) + level * get(p, P.WIDTH), Record.SERIAL) == mark >> 16


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


def holder(s, at):
    """The level whose number holds and whose region has slot *at* of the stack at hand; 0 where none does."""
    level = min(get(s, S.LEVELS_HOLD), get(s, S.DEPTH))
    if level == 0 or at < level_slot(s, level):
        return 0
    while level > 1 and at >= level_slot(s, level - 1):
        level = level - 1
    return level


def told(s, level, at):
    """Whether the number of *level* tells what slot *at*, which is in its region, holds.  True or false."""
    bits = get(s, S.LEVEL_BITS) + level * 8
    return load64(bits) == NOWHERE or has_bit(bits, at - level_slot(s, level))


def has_bit(bits, index):
    """Bit number *index*, below 64, of the word at address *bits*.  True or false."""
    byte = load8(bits + (index >> 3))
    left = index & 7
    while left != 0:
        byte = byte >> 1
        left = left - 1
    return byte & 1 != 0


def overwritten(s, slot):
    """A store is about to change *slot*; whether what was last said of all unwinders may rest on it.  True or false."""
    at = slot - get(s, S.STACK_SLOT)
    if at < get(s, S.STACK_SLOTS):
        level = holder(s, at)
        if level == 0:
            at = at - get(s, S.INNER_SLOT)
            return at < REGION and has_bit(s + S.INNER_BITS * 8, at)
        if told(s, level, at):
            put(s, S.LEVELS_HOLD, level - 1)
            return True
        return False
    if not on_shadow_stack(s, slot) and not listed(s, slot):
        new_epoch(s)
    return True


def on_shadow_stack(s, slot):
    """Whether *slot* is on a shadow stack, the numbers of which do not hold from there on.  True or false."""
    at = slot - get(s, S.SHADOW_SLOT)
    if at < get(s, S.SHADOW_SLOTS):
        put(s, S.SHADOW_HOLDS, min(get(s, S.SHADOW_HOLDS), at))
        return True
    at = slot - get(s, S.HW_SLOT)
    if at < get(s, S.HW_SLOTS):
        put(s, S.HW_HOLDS, min(get(s, S.HW_HOLDS), get(s, S.HW_SLOTS) - 1 - at))
        return True
    return False


def listed(s, slot):
    """Whether *slot* is one of the relevant words elsewhere that keys hold.  True or false."""
    others = get(s, S.OTHER_SLOTS)
    index = get(s, S.OTHER_COUNT)
    while index != 0:
        index = index - 1
        if load64(others + index * 16) == slot:
            return True
    return False


def marks_begin(s, slot, mask):
    """A walk rests on *slot* from now on, and none did; its mask was *mask*."""
    at = slot - get(s, S.STACK_SLOT)
    if at < get(s, S.STACK_SLOTS):
        level = holder(s, at)
        if level != 0 and not told(s, level, at):
            put(s, S.LEVELS_HOLD, level - 1)
    elif mask & RELEVANT == 0 and not on_shadow_stack(s, slot):
        enlist(s, slot)
    return 0


def enlist(s, slot):
    """Keys hold *slot*'s word from now on, if there is room."""
    count = get(s, S.OTHER_COUNT)
    at = get(s, S.MAPS)
    end = get(s, S.MAPS_END)
    while at < end and count < OTHERS:
        first = get(at, 3)
        if slot >= first and slot - first < (get(at, 1) - get(at, 0)) >> 3:
            others = get(s, S.OTHER_SLOTS) + count * 16
            store64(others, slot)
            store64(others + 8, get(at, 2) + get(at, 0) + (slot - first) * 8)
            put(s, S.OTHER_COUNT, count + 1)
            return 0
        at = at + 32
    return 0
