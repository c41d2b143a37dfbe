"""end-check: the end of the stack is accepted only at the task's own FINAL record.

Equation: END is END if the frame records, followed as the trace went, stand at final_record = {0, 0, FINAL};
else it is refused.  It tells a walk that came to an end from one that broke off.

Source: Linux v6.13 arch/arm64/kernel/stacktrace.c (kunwind_next_frame_record_meta: FINAL counts only in the task's
own pt_regs), arch/x86/kernel/unwind_frame.c (is_last_task_frame).
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, GOES_ON, Cursor, Mem, Reason, Regs
from lab.unwind.rules.api import Rule
from lab.unwind.rules.chain import FINAL, meta, passed


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(frame record, lowest address not yet passed, 1 once it has refused)."""
    return regs.fp, regs.sp, 0


def after(mem: Mem, words: Cursor, status: int, ra: int) -> tuple[int, Cursor]:
    """Follows the records; at the end looks where they stand."""
    fp, low, done = words
    if status == FRAME:
        fp, low = passed(mem, fp, low, ra)
    elif status == END and not done and (fp != mem.final_record or meta(mem, fp, low) != FINAL):
        return Reason.NOT_AT_END | GOES_ON, (fp, low, 1)
    return status, (fp, low, done)


RULE = Rule("end-check", "must end at the task's FINAL record", "Linux v6.13 arm64 stacktrace.c", begin, after=after)
