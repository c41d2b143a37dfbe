"""Every word of the stack, from SP up, that is an address in code: an upper bound of what can be found.

Equation::

    ra = [p], p = p + 8, where [p] is in code; p = p + 8 elsewhere; until the end of the stack

Source: Linux v6.13 arch/x86/kernel/unwind_guess.c.  It never looks at LR, so it misses what only LR holds.
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, Cursor, Mem, Regs, StepResult, Unwinder, is_text, load64, stack_end, strip


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(the next address to look at,)"""
    return ((regs.sp + 7) & ~7,)


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """The next word that may be a return address."""
    p = cursor[0]
    end = stack_end(mem, p)
    while p < end:
        value = strip(mem, load64(mem, p))
        p = p + 8
        if is_text(mem, value):
            return FRAME, value, (p,)
    return END, 0, cursor


UNWINDER = Unwinder(
    "guess", "every address in code on the stack", "Linux v6.13 arch/x86/kernel/unwind_guess.c", start, step
)
