"""no-end-check: takes a walk that breaks off for one that has ended.  The defect that end-check is there to catch.

Equation: a refusal for the frame record (unaligned, off the stack, passed already, bad metadata) becomes END.

Source: v5 and v6 of "unwind: arm64: Use sframe to unwind interrupt frames" ignore the walk's return code, so that
a broken chain comes back as 0 (field table, row 45).
"""

from __future__ import annotations

from lab.unwind.api import END, Cursor, Mem, Reason, Regs
from lab.unwind.rules.api import Rule


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(0,): it keeps nothing."""
    return (0,)


def after(mem: Mem, words: Cursor, status: int, ra: int) -> tuple[int, Cursor]:
    """END for what is no end."""
    if status in (Reason.FP_UNALIGNED, Reason.FP_OFF_STACK, Reason.FP_CONSUMED, Reason.BAD_METADATA):
        return END, words
    return status, words


RULE = Rule("no-end-check", "a broken chain counts as the end", "arm64 sframe series v5, v6", begin, after=after)
