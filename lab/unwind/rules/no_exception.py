"""no-exception: refuses every trace that begins at an exception, of whatever class.

Equation: refused if mode = boundary (registers of an interrupted context) or inject (inside its handler).

Source: Linux v6.17 arch/arm64/kernel/stacktrace.c (the reliable walk fails at an entry that came from regs->pc).
"""

from __future__ import annotations

from lab.unwind.api import BOUNDARY, GOES_ON, INJECT, Cursor, Mem, Reason, Regs
from lab.unwind.rules.api import Rule


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(1 while there is an exception to refuse for,)."""
    return (1 if mode in (BOUNDARY, INJECT) else 0,)


def before(mem: Mem, words: Cursor) -> tuple[int, Cursor]:
    """The refusal, once."""
    if words[0]:
        return Reason.EXCEPTION | GOES_ON, (0,)
    return 0, words


RULE = Rule("no-exception", "no trace from an exception", "Linux v6.17 arm64 stacktrace.c", begin, before)
