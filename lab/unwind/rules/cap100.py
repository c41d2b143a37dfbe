"""cap100: refuses a trace that fills a buffer of 100 entries.

Equation: entries = 1 (the pc itself) + return addresses; refused when entries = 100.

Source: Linux v6.13 kernel/stacktrace.c (stack_trace_consume_entry says "no more" with the entry that fills the
buffer, so a trace of exactly 100 fails too), arch/arm64/kernel/stacktrace.c and arch/x86/kernel/stacktrace.c (-EINVAL
then), kernel/livepatch/transition.c (MAX_STACK_ENTRIES 100).
"""

from __future__ import annotations

from lab.unwind.api import FRAME, GOES_ON, Cursor, Mem, Reason, Regs
from lab.unwind.rules.api import Rule

ENTRIES = 100


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(entries so far,): the pc is the first."""
    return (1,)


def after(mem: Mem, words: Cursor, status: int, ra: int) -> tuple[int, Cursor]:
    """One more entry.  A count that has reached ENTRIES stays: the refusal has been made."""
    count = words[0]
    if status != FRAME or count == ENTRIES:
        return status, (count,)
    if count + 1 == ENTRIES:
        return Reason.TOO_MANY | GOES_ON, (ENTRIES,)
    return status, (count + 1,)


RULE = Rule("cap100", "at most 100 entries", "Linux v6.13 kernel/stacktrace.c, livepatch", begin, after=after)
