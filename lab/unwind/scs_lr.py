"""Shadow stack with the rewriter's layout: knows per instruction where the return address is.

For the innermost function the layout says, for the instruction that was about to execute::

    LR         ra = LR, then the shadow stack
    STACK      ra = [SP + offset], then the shadow stack
    SHADOW     the shadow stack
    OUTERMOST  nothing
    UNKNOWN    refused

For every further function, found by its return address, the layout is asked at ra - 1 (the call): its own
return address must be on the shadow stack, else it never pushed and the trace would skip its caller:
refused.  A function whose return address was in LR at a call has lost it: refused.

Source: the rewriter's ShadowLayout; the question is field.md row 29 (LR liveness at an exception).
"""

from __future__ import annotations

from lab.unwind.api import (
    BLOCKED,
    CALL,
    END,
    FRAME,
    GOES_ON,
    IN_LR,
    ON_SHADOW,
    ON_STACK,
    OUTERMOST,
    SHADOW_PARALLEL,
    Cursor,
    Mem,
    Reason,
    Regs,
    StepResult,
    Unwinder,
    load64,
    strip,
    where,
    where_offset,
)
from lab.unwind.shadow import entry, pointer

_FIRST, _CALLER, _TRUST = 0, 1, 2


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(state, address to look up, pointer or its register, sp, lr, whether a call has made LR stale).  What the
    later states have no use for is 0, so that equal cursors are equal."""
    stale = 1 if mode in (CALL, BLOCKED) else 0
    first = _CALLER if mode == BLOCKED else _FIRST  # a switched-out task's pointer is what was saved
    return first, pc - stale, regs.ssp, regs.sp, regs.lr, stale


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One frame: where the return address is, from the layout; then its value."""
    state, pc, p, sp, lr, stale = cursor
    if state == _FIRST:
        p = sp - mem.shadow_distance if mem.shadow_kind == SHADOW_PARALLEL else pointer(mem, p)
    if state in (_FIRST, _CALLER):
        place = where(mem, pc)
        if place == OUTERMOST:
            return END, 0, cursor
        if place == IN_LR and not stale:
            return FRAME, strip(mem, lr), (_CALLER, strip(mem, lr) - 1, p, 0, 0, 1)
        if place == ON_STACK and state == _FIRST:
            ra = load64(mem, sp + where_offset(mem, pc))
            return FRAME, ra, (_CALLER, ra - 1, p, 0, 0, 1)
        if place == IN_LR:
            return Reason.LR_DEAD | GOES_ON, 0, (_TRUST, 0, p, 0, 0, 1)
        if place == ON_STACK:
            return Reason.NOT_ON_SHADOW | GOES_ON, 0, (_TRUST, 0, p, 0, 0, 1)
        if place != ON_SHADOW:
            return Reason.LAYOUT_UNKNOWN | GOES_ON, 0, (_TRUST, 0, p, 0, 0, 1)
    status, ra, p = entry(mem, p)
    if status == FRAME:
        return FRAME, ra, (_CALLER, ra - 1, p, 0, 0, 1) if state != _TRUST else (_TRUST, 0, p, 0, 0, 1)
    if status == END and state != _TRUST:
        return Reason.SHADOW_EMPTY | GOES_ON, 0, (_TRUST, 0, p, 0, 0, 1)
    return status, 0, cursor


UNWINDER = Unwinder(
    "scs-lr",
    "shadow stack with the rewriter's layout",
    "the rewriter's ShadowLayout",
    start,
    step,
    needs_shadow=True,
)
