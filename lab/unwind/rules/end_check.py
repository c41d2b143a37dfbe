"""end-check: the end of the stack is accepted only where the task's stack ends.

Equation: END is END if the frame records, followed as the trace went, stand at final_record = {0, 0, FINAL} (arm64), at
what the task's last frame links to or at pt_regs of user mode (x86-64); else it is refused.  It tells a walk that came
to an end from one that broke off.

Source: Linux v6.13 arch/arm64/kernel/stacktrace.c (kunwind_next_frame_record_meta: FINAL counts only in the task's
own pt_regs), arch/x86/kernel/unwind_frame.c (is_last_task_frame, user_mode).
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, GOES_ON, Cursor, Mem, Reason, Regs
from lab.unwind.rules.api import Rule
from lab.unwind.rules.chain import at_end, passed


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(frame record, lowest address not yet passed, 1 once it has refused)."""
    return regs.fp, regs.sp, 0


def after(mem: Mem, words: Cursor, status: int, ra: int) -> tuple[int, Cursor]:
    """Follows the records; at the end looks where they stand."""
    fp, low, done = words
    if status == FRAME:
        fp, low = passed(mem, fp, low, ra)
    elif status == END and not done and not at_end(mem, fp, low):
        return Reason.NOT_AT_END | GOES_ON, (fp, low, 1)
    return status, (fp, low, done)


_SOURCE = "Linux v6.13 arm64 stacktrace.c, x86 unwind_frame.c"
RULE = Rule("end-check", "must end where the task's stack does", _SOURCE, begin, after=after)
