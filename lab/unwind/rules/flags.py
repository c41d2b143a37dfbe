"""irq-flag, exception-flag: refuse while an advisory flag in the task's struct is set.

Equation: refused if task != 0 and [task + flags] has the bit: 0 for irq-flag (the task was preempted at the end of an
interrupt), 1 for exception-flag (it is in an exception).  Images without tasks are never refused.

The kernel sets and clears the flags, and races: between the interrupt and the set, and between the clear and the
return to the interrupted instruction, nothing is refused though the task is in its middle; between the set and the
switch, and the switch back and the clear, a sound trace is.  The exception flag is one bit, no count: the exit of a
nested exception clears it for the outer one.

Source: the 2021 thread "[RFC PATCH 0/3] arm64: Implement reliable stack trace" (a flag set and cleared in
preempt_schedule_irq; one for exceptions).
"""

from __future__ import annotations

from lab.unwind.api import GOES_ON, Cursor, Mem, Reason, Regs, load64
from lab.unwind.rules.api import Rule

INTERRUPTED, IN_EXCEPTION = 1, 2


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(1 until the flag has been looked at,)."""
    return (1,)


def irq(mem: Mem, words: Cursor) -> tuple[int, Cursor]:
    """Looks once, before the first step."""
    if words[0] and flags(mem) & INTERRUPTED:
        return Reason.INTERRUPTED | GOES_ON, (0,)
    return 0, (0,)


def exception(mem: Mem, words: Cursor) -> tuple[int, Cursor]:
    """Looks once, before the first step."""
    if words[0] and flags(mem) & IN_EXCEPTION:
        return Reason.EXCEPTION | GOES_ON, (0,)
    return 0, (0,)


def flags(mem: Mem) -> int:
    """The flags word of the current task; 0 without one."""
    return load64(mem, mem.task + mem.task_flags) if mem.task != 0 else 0


_SOURCE = "2021 RFC, flag in preempt_schedule_irq"
RULES = (
    Rule("irq-flag", "not while the task's interrupted flag is set", _SOURCE, begin, irq),
    Rule("exception-flag", "not while the task's exception flag is set", _SOURCE, begin, exception),
)
