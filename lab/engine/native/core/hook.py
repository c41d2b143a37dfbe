"""The hook: called by translated code before every instruction, and before every iteration of a ``rep``."""

from __future__ import annotations

from lab.engine.native.cells import (
    CALLED,
    GROUP_BITS,
    NOWHERE,
    TICKS,
    WATCHED,
    Changed,
    Place,
    S,
    Span,
)
from lab.engine.native.classify import CALL as CALLS
from lab.engine.native.classify import NO_REGISTER, REPEAT, SIGN_EXTEND, STORE, UNPREDICTED, ZERO_EXTEND
from lab.engine.native.classify import PC as PC_REGISTER
from lab.engine.native.classify import RETURN as RETURNS
from lab.engine.native.core.balance import balanced
from lab.engine.native.core.features import shadow_pointer
from lab.engine.native.core.hardware import popped, pushed_by_call
from lab.engine.native.core.memory import facts, forget_all, plain64, stored
from lab.engine.native.core.stop import boundary_stop, call_stop, watched
from lab.engine.native.core.truth import before, push
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, call4, get, load64, put
from lab.unwind.code_view import TABLES

GROUP_MASK = (1 << GROUP_BITS) - 1
GROUP_SHIFT = 2 * GROUP_BITS


def hook(_uc, pc, _size, s):
    """The instruction at *pc* is about to execute."""
    place = place_of(s, pc)
    code = get(place, Place.CODE)
    if code == 0:
        code = call3(get(s, S.EVENT), Event.DECODE, pc, 0)
        if get(s, S.STOP):
            return
    if get(s, S.BATCH):
        read_registers(s)
    if code & REPEAT == 0 or pc != get(s, S.PC):
        left = get(s, S.LEFT)
        if left == 0:
            left = looked_around(s, pc, code)
            if left == 0:
                return
        put(s, S.LEFT, left - 1)
        instruction(s, pc, place, code)
    elif repeated(s):
        return
    if code & UNPREDICTED:
        forget_all(s)
        if get(s, S.CHANGE_HIGH):
            call3(get(s, S.EVENT), Event.CODE_WRITTEN, 0, 0)
    elif code & STORE:
        row = get(place, Place.ROW)
        stored(s, row_address(s, row, pc), row >> 24 & 0xFF)


def place_of(s, pc):
    """The record of the place of *pc*."""
    offset = pc - get(s, S.CODE_LOW)
    return get(s, S.PLACES) + (offset << 3 if get(s, S.CODE_SHIFT) else offset << 5)


def looked_around(s, pc, code):
    """The clock, the limit, and whether to stop or to take an exception; how many instructions to go on for, 0 to do
    none at *pc* now."""
    most = call3(get(s, S.EVENT), Event.TICK, pc, 0)
    if most == 0:
        if get(s, S.STOP) == 0 and arrived(s, pc, code >> 32):
            call3(get(s, S.EVENT), Event.TAKE, pc, 0)
        return 0
    more = min(most, get(s, S.LIMIT) - get(s, S.INSTRUCTIONS))
    if get(s, S.STOP) == 0 and more == 0:
        call3(get(s, S.EVENT), Event.BUDGET, 0, 0)
    if get(s, S.STOP):
        return 0
    put(s, S.INSTRUCTIONS, get(s, S.INSTRUCTIONS) + more)
    return more


def repeated(s):
    """One iteration more of the same rep-prefixed instruction; whether to stop."""
    repeats = get(s, S.REPEATS) + 1
    put(s, S.REPEATS, repeats)
    if repeats % TICKS == 0:
        call3(get(s, S.EVENT), Event.TICK, 0, 0)
    return get(s, S.STOP) != 0


def read_registers(s):
    """Fetch the registers through the API, where the processor's own block was not found."""
    call4(
        get(s, S.BATCH),
        get(s, S.BATCH_HANDLE),
        get(s, S.BATCH_IDS),
        get(s, S.BATCH_POINTERS),
        get(s, S.BATCH_COUNT),
    )
    return 0


def instruction(s, pc, place, code):
    """A new instruction: the stop after the call before it, truth, its own stop, and its own call."""
    if not arrived(s, pc, code >> 32):
        return 0
    put(s, S.PC, pc)
    if get(s, S.MODES) & 1:
        boundary_stop(s, place)
    if get(s, S.BALANCE):
        balanced(s)
    if code & (CALLS | WATCHED | RETURNS):
        if code & WATCHED:
            watched(s, place, pc)
        if code & CALLS:
            put(s, S.PENDING, CALLED)
            put(s, S.PENDING_RA, pc + (code >> 8 & 0xFF))
            put(s, S.PENDING_SP, get(s, S.SP))
            put(s, S.PENDING_MARKER, shadow_pointer(s))
        elif code & RETURNS and get(s, S.HW_LIMIT):
            put(s, S.RETURNING, 1)
    return 0


def arrived(s, pc, own):
    """Control is at *pc*, in span *own*: the stop after the call before it, and truth.  False if SP is on no stack."""
    sp = load64(get(s, S.SP_HOST))
    if not compared(s, pc, sp):
        return False
    if get(s, S.RETURNING):
        popped(s, pc)
    called = get(s, S.PENDING)
    if called:
        if called == CALLED:
            after_call(s)
            if get(s, S.HW_LIMIT):
                pushed_by_call(s, get(s, S.PENDING_RA))
        put(s, S.SP, sp)
    top = get(s, S.TOP_AT_CALL)
    if called or (sp >= top and (sp > top or own != get(s, S.OWN) or only_top(s, pc))):
        before(s, pc, sp, own)
    if own != get(s, S.OWN):
        enter_span(s, own)
    return True


def only_top(s, pc):
    """Whether *pc* may be where an activation lands whose AT_CALL is SP, control being in the same span as before."""
    ra = get(s, S.TOP_RA)
    return ra in (pc, NOWHERE)


def enter_span(s, own):
    """Control is in another span of code than before: what differs may change a verdict, or a feature."""
    old = facts(s, get(s, S.OWN))
    put(s, S.OWN, own)
    own = facts(s, own)
    changed = get(s, S.CHANGED)
    differ = get(own, Span.GROUP) ^ get(old, Span.GROUP)
    if differ >> GROUP_SHIFT:
        changed = changed | Changed.TRUTH
    if differ >> GROUP_BITS & GROUP_MASK:
        changed = changed | Changed.CFI
    if differ & GROUP_MASK:
        changed = changed | looked_up(own, old)
    put(s, S.CHANGED, changed)
    return 0


def looked_up(own, old):
    """Which rows the spans at *own* and *old* differ in: the layout's, those of rule tables, or both."""
    changed = 0
    if get(own, Span.WHERE) != get(old, Span.WHERE) or get(own, Span.WHERE_OFFSET) != get(old, Span.WHERE_OFFSET):
        changed = Changed.ROW
    table = 0
    while table < TABLES:
        if get(own, Span.RULES + table) != get(old, Span.RULES + table):
            changed = changed | Changed.RULE
        table = table + 1
    return changed


def compared(s, pc, sp):
    """Take the registers over, noting which have changed since the last stop.  False if SP has left the stack."""
    changed = get(s, S.CHANGED)
    fp = load64(get(s, S.FP_HOST))
    lr = load64(get(s, S.LR_HOST))
    ssp = load64(get(s, S.SSP_HOST))
    if sp != get(s, S.SP):
        if sp < get(s, S.STACK_LOW) or sp > get(s, S.STACK_HIGH):
            if not moved(s, pc, sp):
                return False
            changed = get(s, S.CHANGED)
        put(s, S.SP, sp)
        changed = changed | Changed.SP
    if fp != get(s, S.FP):
        put(s, S.FP, fp)
        changed = changed | Changed.FP
    if lr != get(s, S.LR):
        put(s, S.LR, lr)
        changed = changed | Changed.LR
    if ssp != get(s, S.SSP):
        put(s, S.SSP, ssp)
        changed = changed | Changed.SSP
    put(s, S.CHANGED, changed)
    return True


def moved(s, pc, sp):
    """SP is not on the stack it was on.  What was pending has happened on that one; False if it is on no other."""
    called = get(s, S.PENDING)
    if called:
        put(s, S.PENDING, 0)
        push(s, called)
    call3(get(s, S.EVENT), Event.MOVED, sp, pc)
    return get(s, S.STOP) == 0


def after_call(s):
    """A call has retired and its activation is not on the truth stack yet: confirm it, and stop in its caller."""
    ra = get(s, S.PENDING_RA)
    at_call = get(s, S.PENDING_SP)
    pushed = get(s, S.CALL_PUSHES)
    found = 1
    value = get(s, S.LR)
    if pushed:
        found, value = plain64(s, at_call - pushed)
    if found == 0 or value != ra:
        call3(get(s, S.EVENT), Event.NOT_STORED, ra, value)
    if get(s, S.MODES) & 2:
        put(s, S.PC, ra)
        put(s, S.SP, at_call)
        call_stop(s, place_of(s, ra))
    return 0


def row_address(s, row, pc):
    """Where the instruction at *pc* is about to store (see ``classify``)."""
    registers = get(s, S.REGISTERS)
    base = row & 0xFF
    index = row >> 8 & 0xFF
    ext = row >> 16 & 0xFF
    address = ((row >> 32) ^ 0x8000_0000) - 0x8000_0000
    if base == PC_REGISTER:
        address = address + pc
    elif base != NO_REGISTER:
        address = address + load64(registers + base * 8)
    if index != NO_REGISTER:
        value = load64(registers + index * 8)
        if ext & ZERO_EXTEND:
            value = value & 0xFFFF_FFFF
        elif ext & SIGN_EXTEND:
            value = ((value & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000
        shift = ext & 0x0F
        while shift != 0:
            value = value << 1
            shift = shift - 1
        address = address + value
    return address
