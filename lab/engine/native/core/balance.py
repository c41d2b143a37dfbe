"""Shadow balance at every instruction: is the return address where the rewriter's layout says it is?

The same question as ``lab.balance``, which is asked for the words of the answer where this finds an imbalance.
"""

from __future__ import annotations

from lab.engine.native.cells import BALANCE_USER, S, Span, Truth
from lab.engine.native.core.activation import activation
from lab.engine.native.core.features import shadow_pointer
from lab.engine.native.core.memory import plain64, span
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, put
from lab.unwind.api import ON_SHADOW, ON_STACK, OUTERMOST, SHADOW_PARALLEL, UNKNOWN


def balanced(s):
    """Event IMBALANCE, once, where the layout is wrong.  User mode begins in a function that nobody has called."""
    own = span(s, get(s, S.PC))
    where = get(own, Span.WHERE)
    if where == UNKNOWN:
        return 0
    depth = get(s, S.DEPTH)
    if depth == 0 and get(s, S.BALANCE) == BALANCE_USER:
        return 0
    if depth == 0 or where == OUTERMOST:
        fine = depth == 0 and where == OUTERMOST
    else:
        innermost = activation(s, depth)
        ra = get(innermost, Truth.RA)
        found = 1
        value = get(s, S.LR) & ~get(s, S.PAC_MASK)
        if where == ON_SHADOW:
            put(s, S.BALANCED, get(s, S.BALANCED) + 1)
            found, value = shadow_top(s, innermost)
        elif where == ON_STACK:
            found, value = plain64(s, get(s, S.SP) + get(own, Span.WHERE_OFFSET))
        fine = found != 0 and value == ra
    if not fine:
        put(s, S.BALANCE, 0)
        call3(get(s, S.EVENT), Event.IMBALANCE, 0, 0)
    return 0


def shadow_top(s, innermost):
    """(1, the newest entry of the shadow stack) or (0, 0) where it is empty or out of reach."""
    if get(s, S.SHADOW_KIND) == SHADOW_PARALLEL:
        at_call = get(innermost, Truth.AT_CALL)
        return plain64(s, at_call - get(s, S.CALL_PUSHES) - get(s, S.SHADOW_DISTANCE))
    pointer = shadow_pointer(s)
    if pointer <= get(s, S.SHADOW_BASE):
        return 0, 0
    return plain64(s, pointer - 8)
