"""Numbers for what the shadow stack at hand holds up to its pointer, and the hardware's; see ``chain``."""

from __future__ import annotations

from lab.engine.native.cells import CHAIN_LIMIT, RELEVANT, S
from lab.engine.native.core.chain import link
from lab.engine.native.primitives import get, load64, put, store64


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
