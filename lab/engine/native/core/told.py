"""What stores and marks do to the numbers of ``chain`` and ``shadows``, and to the words that keys hold themselves."""

from __future__ import annotations

from lab.engine.native.cells import NOWHERE, OTHERS, RELEVANT, S
from lab.engine.native.core.chain import REGION, level_slot, new_epoch
from lab.engine.native.core.shadows import on_shadow_stack
from lab.engine.native.primitives import get, load8, load64, put, store64


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
