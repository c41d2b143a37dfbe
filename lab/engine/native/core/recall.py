"""What all unwinders said at an earlier stop that was like this one in everything they depend on.

The key of a stop: the registers; the pc, or at a boundary what ``where`` and ``rule`` say of it and which functions it
names; and, by the numbers of ``chain`` or by the words themselves, the true stack and all memory on which the walks
rested that were made at such a stop.  A walk is a function of these: it begins as that one did, and what it reads next
is the same word, with the same value.  So equal keys, equal verdicts.

Unwinders that read much or are seldom plain are set apart (``apart``) and asked each time; all this is of the others.
A stop is learnt only if every walk was plain, that is rested on nothing but marked words and its start, and none of
them read what no key tells of: a shadow stack beyond its pointer, or at a call the stack below SP.
"""

from __future__ import annotations

from lab.engine.native.cells import (
    CAPPED,
    KEY_WORDS,
    RECALL_ENTRY,
    RECALL_SIZE,
    RECALLS,
    SHORT_PAUSE,
    START_LEVEL,
    P,
    S,
)
from lab.engine.native.core.apart import set_apart
from lab.engine.native.core.chain import (
    MIX,
    MIX_ONE,
    REGION,
    hinted,
    holds,
    level_slot,
    levels,
    marked,
    new_epoch,
    told_of,
)
from lab.engine.native.core.features import shadow_pointer
from lab.engine.native.core.memory import shorten
from lab.engine.native.core.path import masked
from lab.engine.native.core.shadows import hardware, shadow
from lab.engine.native.primitives import get, load64, put, store64
from lab.unwind.api import BOUNDARY, CALL

MOST_CREDIT = 4096  # lookups: as many more that fail than succeed, and it is left alone
FIRST_CREDIT = 1024
LONGEST_PAUSE = 1 << 16  # boundaries
HEAD = 10  # words of a key that are always there
GROUP = ~(((1 << 21) - 1) << 21)  # in Span.GROUP: all but the .eh_frame row, which is features' alone

BESIDE = RECALL_ENTRY * 8  # bytes: there are two entries for a key

# Of an entry, behind its key:
VECTOR, ASK, LOWEST, LENGTH = KEY_WORDS, KEY_WORDS + 1, KEY_WORDS + 2, KEY_WORDS + 3
NOT_ALL_EXACT = 1 << 32  # in ASK


def recalled(s, mode, where):
    """The entry that says what all unwinders say at the stop at hand; 0 without one.

    *where*: the pc, or at a boundary what of it counts.
    """
    found = key(s, mode, where, False)
    put(s, S.LOOKED_UP, get(s, S.LOOKED_UP) + 1)
    if found != 0:
        if not same(s, found):
            found = found + BESIDE
        if same(s, found):
            credit = get(s, S.CREDIT) + 1
            if credit >= MOST_CREDIT:
                credit = MOST_CREDIT
                put(s, S.PAUSE, SHORT_PAUSE)
            put(s, S.CREDIT, credit)
            put(s, S.RECALLED, get(s, S.RECALLED) + 1)
            return found
    credit = get(s, S.CREDIT) - 1
    put(s, S.CREDIT, credit)
    if credit == 0:
        put(s, S.CREDIT, FIRST_CREDIT)
        if not some_set_apart(s):
            pause = get(s, S.PAUSE)
            put(s, S.RECALL, pause)
            put(s, S.PAUSE, min(2 * pause, LONGEST_PAUSE))
    return 0


def some_set_apart(s):
    """Sets those apart that read much, which may be why so little is found again; whether there were any.  True or
    false."""
    before = get(s, S.APART)
    unwinders = get(s, S.UNWINDERS)
    end = unwinders + get(s, S.UNWINDER_COUNT) * 8
    while unwinders < end:
        p = load64(unwinders)
        if get(p, P.READS_MUCH):
            set_apart(s, p)
        unwinders = unwinders + 8
    return get(s, S.APART) != before


def usable(s):
    """Whether boundaries are to be looked up now.  True or false."""
    pause = get(s, S.RECALL)
    if pause <= RECALLS:
        return pause == RECALLS
    put(s, S.RECALL, pause - 1)
    if pause - 1 == RECALLS:
        new_epoch(s)  # stores were not looked at meanwhile
    return False


def pointer(s):
    """The pointer of the shadow stack at hand; 0 without one that has a pointer."""
    return shadow_pointer(s) if get(s, S.SHADOW_SLOTS) else 0


def key(s, mode, where, learning):
    """Writes the key of the stop at hand; the first of its two entries, 0 where it has no key."""
    words = get(s, S.RECALL_KEY)
    number = levels(s, learning)
    on_shadow = shadow(s, pointer(s))
    on_hardware = hardware(s)
    if number == 0 or on_shadow == 0 or on_hardware == 0:
        return 0
    sp = get(s, S.SP)
    fp = get(s, S.FP)
    lr = get(s, S.LR)
    ssp = get(s, S.SSP)
    hssp = get(s, S.HSSP)
    put(words, 0, number)
    put(words, 1, on_shadow)
    put(words, 3, sp)
    put(words, 4, fp)
    put(words, 5, lr)
    put(words, 6, ssp)
    put(words, 7, hssp)
    put(words, 8, where)
    mixed = (number * MIX ^ on_shadow * MIX_ONE) + (sp * (MIX + 2) ^ fp * (MIX_ONE + 2))
    mixed = mixed + (lr * (MIX + 4) ^ where * (MIX_ONE + 4)) + (on_hardware * (MIX + 6) ^ ssp * (MIX_ONE + 6))
    end = get(s, S.OTHER_COUNT)
    put(words, 2, on_hardware << 8 | mode << 7 | end)
    others = get(s, S.OTHER_SLOTS)
    to = words + HEAD * 8
    other = 0
    while other < end:
        value = load64(load64(others + other * 16 + 8))
        store64(to, value)
        mixed = (mixed ^ value) * MIX_ONE
        to = to + 8
        other = other + 1
    low = get(s, S.STACK_LOW)
    if mode == BOUNDARY:
        sp = max((sp - get(s, S.RED_ZONE)) & ~(get(s, S.EXCEPTION_ALIGN) - 1), low)
    slot = (sp - low) >> 3
    last = max(slot, min(level_slot(s, get(s, S.DEPTH)), get(s, S.STACK_SLOTS)))
    if last - slot > REGION:
        return 0
    hint = hinted(s, where * MIX_ONE + slot * MIX + last)
    if learning:
        put(hint, 1, get(hint, 1) | marked(s, slot, last))
    bits = get(hint, 1)
    put(words, 9, bits)
    put(s, S.INNER_SLOT, slot)
    put(s, S.INNER_BITS, bits)
    mixed = mixed ^ bits * MIX_ONE
    limit = words + KEY_WORDS * 8
    while bits != 0:
        if bits & 1:
            if to >= limit:
                return 0
            value = told_of(s, slot)
            store64(to, value)
            mixed = (mixed ^ value) * MIX
            to = to + 8
        slot = slot + 1
        bits = bits >> 1
    mixed = (mixed ^ (mixed >> 32)) * MIX
    put(s, S.RECALL_LENGTH, to - words)
    return get(s, S.RECALL_ENTRIES) + ((mixed >> 40) & (RECALL_SIZE - 2)) * BESIDE


def same(s, entry):
    """Whether *entry* has the key just written.  True or false."""
    words = get(s, S.RECALL_KEY)
    length = get(s, S.RECALL_LENGTH)
    if get(entry, LENGTH) != length:
        return False
    at = 0
    while at < length:
        if load64(words + at) != load64(entry + at):
            return False
        at = at + 8
    return True


def settle(s, p):
    """Forget the steps that the last walk of *p* did not make, so that what is marked is what it rests on.

    What its first step read may be marked as one of those steps' alone.  Which slots these are is known of one or two.
    """
    count = get(p, P.START_COUNT)
    if count > 2 or get(p, P.APART) or get(p, P.KEPT) == CAPPED:
        return 0
    shorten(p, get(p, P.WALK_LEVEL))
    if count != 0:
        mark_start_again(s, p, get(p, P.START_ONE))
    if count == 2:
        mark_start_again(s, p, get(p, P.START_TWO))
    return 0


def mark_start_again(s, p, slot):
    """The first step of the last walk of *p* has read *slot*."""
    masked(s, p, slot)
    marks = get(p, P.MARKS) + slot * 8
    if not holds(p, load64(marks)):
        store64(marks, get(p, P.START_SERIAL) << 16 | START_LEVEL)
    return 0


def learn(s, mode, where):
    """All unwinders have been judged at the stop at hand: keep what the key tells all about."""
    if get(s, S.ALL_PLAIN) == 0 or get(s, S.SHADOW_READ) > pointer(s) or get(s, S.HW_READ) < get(s, S.HSSP):
        return 0
    if mode == CALL and get(s, S.LOWEST_TOGETHER) < get(s, S.SP):
        return 0  # nothing overlays the stack below SP
    unwinders = get(s, S.UNWINDERS)
    end = unwinders + get(s, S.UNWINDER_COUNT) * 8
    while unwinders < end:
        settle(s, load64(unwinders))
        unwinders = unwinders + 8
    entry = key(s, mode, where, True)  # anew: what they read for the first time is relevant now
    if entry == 0:
        return 0
    if get(entry, LENGTH) != 0 and (get(entry + BESIDE, LENGTH) == 0 or get(s, S.LOOKED_UP) & 1):
        entry = entry + BESIDE
    words = get(s, S.RECALL_KEY)
    length = get(s, S.RECALL_LENGTH)
    at = 0
    while at < length:
        store64(entry + at, load64(words + at))
        at = at + 8
    put(entry, VECTOR, get(s, S.VECTOR + mode))
    put(entry, ASK, get(s, S.ASK_TOGETHER) | (0 if get(s, S.ALL_EXACT) else NOT_ALL_EXACT))
    put(entry, LOWEST, get(s, S.LOWEST_TOGETHER))
    put(entry, LENGTH, length)
    return 0


def taken_over(s, mode, entry):
    """What *entry* says is so now; not 0 if some unwinder's verdict is not EXACT."""
    put(s, S.VECTOR + mode, get(entry, VECTOR))
    put(s, S.BEHIND + mode, 1)
    if mode == BOUNDARY:
        put(s, S.LOWEST_ALL, get(entry, LOWEST))
        put(s, S.ASK, get(entry, ASK) & (NOT_ALL_EXACT - 1))
    return get(entry, ASK) & NOT_ALL_EXACT


def codes_taken_over(s, mode):
    """SAID of all unwinders, from the vector that was taken over, and the last codes of those that are recalled."""
    index = get(s, S.UNWINDER_COUNT)
    unwinders = get(s, S.UNWINDERS)
    node = get(s, S.NODES) + get(s, S.VECTOR + mode) * 32
    while index != 0:
        index = index - 1
        p = load64(unwinders + index * 8)
        put(p, P.SAID, get(node, 0))
        if get(p, P.APART) == 0:
            put(p, P.LAST + mode, get(node, 0))
        node = get(s, S.NODES) + get(node, 3) * 32
    return 0
