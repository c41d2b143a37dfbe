"""no-pt-regs: refuses where the frame records meet a pt_regs: somebody in this trace was interrupted.

Equation: refused if the record at fp is {0, 0, PT_REGS}; on x86-64 if bit 0 of fp is set (encoded pt_regs).

A walk that starts at a ``boundary`` stop begins beyond the pt_regs of that exception and does not meet it (that is
what no-exception is for); one from inside the handler does.

Source: Linux v6.13 arch/x86/kernel/stacktrace.c (arch_stack_walk_reliable: kernel regs give -EINVAL),
arch/arm64/kernel/stacktrace.c.
"""

from __future__ import annotations

from lab.unwind.api import FRAME, GOES_ON, Cursor, Mem, Reason, Regs
from lab.unwind.rules.api import Rule
from lab.unwind.rules.chain import passed, pt_regs


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(frame record, lowest address not yet passed, 1 once it has refused)."""
    return regs.fp, regs.sp, 0


def before(mem: Mem, words: Cursor) -> tuple[int, Cursor]:
    """Looks at the record at hand."""
    fp, low, done = words
    if not done and pt_regs(mem, fp, low) != 0:
        return Reason.REGS_FRAME | GOES_ON, (fp, low, 1)
    return 0, words


def after(mem: Mem, words: Cursor, status: int, ra: int) -> tuple[int, Cursor]:
    """Follows the records."""
    fp, low, done = words
    if status == FRAME:
        fp, low = passed(mem, fp, low, ra)
    return status, (fp, low, done)


RULE = Rule("no-pt-regs", "no pt_regs in the trace", "Linux v6.13 x86 stacktrace.c", begin, before, after)
