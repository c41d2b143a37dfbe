"""The shadow stack that the processor itself would keep; its rules are in ``lab.engine.hardware``.

The pointer is the host's to set (exceptions, switches).  This code reads and writes host memory through it, and looks
at both bounds each time: a pointer that is elsewhere is a fault of the processor, never one of the lab's own process.
"""

from __future__ import annotations

from lab.engine.native.cells import EXCEPTION_RETURN, Changed, S
from lab.engine.native.core.memory import stored
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, load64, put, store64


def popped(s, pc):
    """The last instruction was a return, and *pc* is where it went."""
    how = get(s, S.RETURNING)
    put(s, S.RETURNING, 0)
    if how == EXCEPTION_RETURN:
        call3(get(s, S.EVENT), Event.RETURNED, pc, 0)
        return 0
    pointer = get(s, S.HSSP)
    if pointer < get(s, S.HW_BASE) or pointer >= get(s, S.HW_LIMIT):
        put(s, S.HW_FAULTS, get(s, S.HW_FAULTS) + 1)
        return 0
    host = get(s, S.HW_HOST)
    at = pointer
    while at < get(s, S.HW_LIMIT) and load64(host + at) != pc:
        at = at + 8
    if at != pointer:
        put(s, S.HW_FAULTS, get(s, S.HW_FAULTS) + 1)
    if at < get(s, S.HW_LIMIT):
        pointer = at
    put(s, S.HSSP, pointer + 8)
    put(s, S.CHANGED, get(s, S.CHANGED) | Changed.HSSP)
    return 0


def pushed_by_call(s, ra):
    """A call has retired."""
    pointer = get(s, S.HSSP)
    if pointer <= get(s, S.HW_BASE) or pointer > get(s, S.HW_LIMIT):
        put(s, S.HW_FAULTS, get(s, S.HW_FAULTS) + 1)
        return 0
    pointer = pointer - 8
    store64(get(s, S.HW_HOST) + pointer, ra)
    stored(s, pointer, 8)
    put(s, S.HSSP, pointer)
    put(s, S.CHANGED, get(s, S.CHANGED) | Changed.HSSP)
    return 0
