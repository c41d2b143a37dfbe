"""Every word of the stack, from SP up, that is an address in code: an upper bound of what can be found.

Equation::

    ra = [p], p = p + 8, where [p] is in code; p = p + 8 elsewhere; until the end of the stack

From the end of the x86-64 interrupt stack it goes on at the SP in that stack's topmost word.  AArch64's has no such
word, and no kernel there has this walk: it ends with the interrupt stack, and misses what was interrupted.

Source: Linux v6.13 arch/x86/kernel/unwind_guess.c (unwind_next_frame), dumpstack_64.c (in_irq_stack: next_sp).  It
never looks at LR, so it misses what only LR holds.
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, Cursor, Mem, Regs, StepResult, Unwinder, is_text, load64, stack_end, strip


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(the next address to look at,)"""
    return ((regs.sp + 7) & ~7,)


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """The next word that may be a return address."""
    value, p = scan(mem, cursor[0])
    if value == 0 and p == mem.irq_high and p != 0 and mem.metadata_offset == 0:
        value, p = scan(mem, (load64(mem, p - 8) + 7) & ~7)
    if value == 0:
        return END, 0, cursor
    return FRAME, value, (p,)


def scan(mem: Mem, p: int) -> tuple[int, int]:
    """(The next word from *p* on that is an address in code, the address after it); (0, the end of the stack)."""
    end = stack_end(mem, p)
    while p < end:
        value = strip(mem, load64(mem, p))
        p = p + 8
        if is_text(mem, value):
            return value, p
    return 0, p


UNWINDER = Unwinder(
    "guess", "every address in code on the stack", "Linux v6.13 arch/x86/kernel/unwind_guess.c", start, step
)
