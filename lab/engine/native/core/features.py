"""The dynamic features of a stop, packed beside the verdict vector into one key (see ``lab.features``)."""

from __future__ import annotations

from lab.engine.native.cells import INTERRUPTED, NOWHERE, S, Span, Truth
from lab.engine.native.core.activation import activation
from lab.engine.native.core.memory import plain64
from lab.engine.native.primitives import get, put
from lab.unwind.api import SHADOW_NONE, SHADOW_PARALLEL

# The key: vector << 32 | features; an absent feature is 0, false 1, true 2.
COMPLETE, PUSHED, MATCHES, KNOWS_DELTA, DELTA = 0, 2, 4, 6, 8  # shifts
INTERRUPTS = 6  # the shift of Truth.IS_FIRST's bit to bit 7
DELTA_BIAS = 16  # bytes: between pop and landing SP is above its value at entry
VECTOR = 32


def shadow_pointer(s):
    """The shadow-stack pointer: in memory, or in its register; 0 without a shadow stack."""
    if get(s, S.SHADOW_KIND) == SHADOW_NONE:
        return 0
    cell = get(s, S.SHADOW_CELL)
    if cell != 0:
        _, value = plain64(s, cell)
        return value
    return get(s, S.SSP)


def dynamic(s, row):
    """The features of the stop at hand, packed; *row* is the span whose .eh_frame row holds."""
    innermost = activation(s, get(s, S.DEPTH))
    at_call = get(innermost, Truth.AT_CALL)
    interrupted = (get(innermost, Truth.IS_FIRST) & INTERRUPTED) << INTERRUPTS
    if at_call == NOWHERE:  # none at all, or none on this stack
        return interrupted
    ra = get(innermost, Truth.RA)
    sp = get(s, S.SP)
    fp = get(s, S.FP)
    complete = 1
    watched = NOWHERE
    if sp <= fp <= at_call - 16:
        watched = fp + 8
        found, value = plain64(s, watched)
        if found and value & ~get(s, S.PAC_MASK) == ra:
            complete = 2
    put(s, S.WATCH_ONE, watched)
    matches = 0
    if get(row, Span.CFI_FP):
        matches = 2 if fp + get(row, Span.CFI_OFFSET) == at_call else 1
    delta = at_call - get(s, S.CALL_PUSHES) - sp + DELTA_BIAS
    packed = complete << COMPLETE | pushed(s, innermost) << PUSHED | matches << MATCHES | interrupted
    return packed | 1 << KNOWS_DELTA | (delta & 0xFFFFFF) << DELTA


def pushed(s, innermost):
    """Whether the innermost return address is on the shadow stack."""
    kind = get(s, S.SHADOW_KIND)
    if kind == SHADOW_NONE:
        return 0
    if kind == SHADOW_PARALLEL:
        slot = get(innermost, Truth.AT_CALL) - get(s, S.CALL_PUSHES) - get(s, S.SHADOW_DISTANCE)
        put(s, S.WATCH_TWO, slot)
        found, value = plain64(s, slot)
        return 2 if found and value == get(innermost, Truth.RA) else 1
    return 2 if shadow_pointer(s) > get(innermost, Truth.MARKER) else 1
