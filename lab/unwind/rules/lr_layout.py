"""lr-layout: refuses where the rewriter's layout says that the interrupted function's return address is in LR.

Equation, at a ``boundary`` stop, with place = where(pc)::

    LR, STACK         refused: leaf, prologue or epilogue; neither records nor shadow stack hold it
    UNKNOWN           refused: the layout does not say
    SHADOW, OUTERMOST passed

After a call LR is dead and has been saved, or the function would not return: other modes are passed.

Source: the rewriter's ShadowLayout; Documentation/livepatch/reliable-stacktrace.rst 4.6, "Link register
unreliability" (Linux v6.13).
"""

from __future__ import annotations

from lab.unwind.api import BOUNDARY, GOES_ON, IN_LR, ON_STACK, UNKNOWN, Cursor, Mem, Reason, Regs, where
from lab.unwind.rules.api import Rule


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(1 while the layout is to be asked, pc)."""
    return (1 if mode == BOUNDARY else 0), pc


def before(mem: Mem, words: Cursor) -> tuple[int, Cursor]:
    """Asks the layout once."""
    ask, pc = words
    if not ask:
        return 0, (0, 0)
    place = where(mem, pc)
    if place in (IN_LR, ON_STACK):
        return Reason.LR_MAY_BE_LIVE | GOES_ON, (0, 0)
    if place == UNKNOWN:
        return Reason.LAYOUT_UNKNOWN | GOES_ON, (0, 0)
    return 0, (0, 0)


RULE = Rule("lr-layout", "not where LR may be live, by the layout", "RST 4.6", begin, before, needs_layout=True)
