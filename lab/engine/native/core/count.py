"""Plain counting: instructions, calls, and instructions that load or store, by the machine's own memory events."""

from __future__ import annotations

from lab.engine.native.cells import TICKS
from lab.engine.native.classify import CALL, REPEAT
from lab.engine.native.count_cells import C
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, load8, put, store8


def count_hook(_uc, pc, _size, c):
    """The instruction at *pc* is about to execute."""
    at = get(c, C.FLAGS) + (pc - get(c, C.CODE_LOW))
    flags = load8(at)
    if flags == 0:
        call3(get(c, C.EVENT), Event.DECODE, pc, 0)
        if get(c, C.STOP):
            return
        flags = load8(at)
    hooks = get(c, C.HOOKS) + 1
    put(c, C.HOOKS, hooks)
    if hooks % TICKS == 0:
        call3(get(c, C.EVENT), Event.TICK, 0, 0)
    if get(c, C.STOP) or (flags & REPEAT != 0 and pc == get(c, C.PREVIOUS)):
        return
    put(c, C.PREVIOUS, pc)
    instructions = get(c, C.INSTRUCTIONS)
    if instructions >= get(c, C.LIMIT):
        call3(get(c, C.EVENT), Event.BUDGET, 0, 0)
        return
    put(c, C.INSTRUCTIONS, instructions + 1)
    put(c, C.CALLS, get(c, C.CALLS) + get(c, C.WAS_CALL))
    put(c, C.WAS_CALL, flags & CALL)
    put(c, C.LOADED, 0)
    put(c, C.STORED, 0)


def forget_code(c, offset, size):
    """Code at *offset* is being written: decode anew what begins there, or up to fifteen bytes before."""
    index = offset - 15
    while index != offset + size:
        if index < get(c, C.CODE_SIZE):
            store8(get(c, C.FLAGS) + index, 0)
        index = index + 1
    return 0


def access_hook(_uc, kind, address, size, _value, c):
    """The instruction at hand reads or writes memory: it counts once for each."""
    if kind == get(c, C.WRITE_KIND):
        if address < get(c, C.CODE_LOW) + get(c, C.CODE_SIZE) and address + size > get(c, C.CODE_LOW):
            forget_code(c, address - get(c, C.CODE_LOW), size)
        if get(c, C.STORED) == 0:
            put(c, C.STORED, 1)
            put(c, C.STORES, get(c, C.STORES) + 1)
    elif get(c, C.LOADED) == 0:
        put(c, C.LOADED, 1)
        put(c, C.LOADS, get(c, C.LOADS) + 1)
