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
    RELEVANT,
    START_LEVEL,
    P,
    Record,
    S,
    Truth,
)
from lab.engine.native.core.activation import activation
from lab.engine.native.primitives import get, load64, put, store64

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
    first = get(s, S.LINKS) + ((mixed >> 32) & (LINKS_SIZE - 4)) * 32
    at = first
    while at < first + 4 * 32:
        if get(at, 0) == before and get(at, 1) == one and get(at, 2) == two:
            return get(at, 3)
        at = at + 32
    number = fresh(s)
    at = first + (number & 3) * 32  # whichever: it costs time alone
    put(at, 0, before)
    put(at, 1, one)
    put(at, 2, two)
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
    context = context + get(s, S.APART) * MIX_TWO  # what those read who are now set apart does not matter any more
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
    together = get(s, S.TOGETHER)
    bits = 0
    slot = base + end
    while slot > base + first:
        slot = slot - 1
        mask = load64(masks + slot * 8)
        if mask & together != 0 and not rested_on(s, slot, mask & together):
            mask = mask & ~together
            store64(masks + slot * 8, mask)
        bits = bits << 1 | (1 if mask & together else 0)
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
