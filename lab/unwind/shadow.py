"""Reading a shadow stack: what ``scs`` and ``scs-lr`` share.

register, memory:  ra = [p - 8], p = p - 8, until p = base          (p: one past the newest entry)
parallel:          ra = the next word that is not zero at or above p, until the shifted end of the stack

An interrupt has a shadow stack of its own, as it has a stack.  Where that one ends, the walk goes on with the
interrupted task's, from the pointer that the entry code has left in the task's struct (Linux: scs_save in
call_on_irq_stack).  What an exception interrupted is on neither: the address is in pt_regs, and shadow stacks do not
say where those are.

A parallel shadow stack has no pointer and no count: between live entries lie words that earlier, deeper
calls left behind.  A reader without frame sizes cannot tell them apart.  That is a property of the
design, and the lab reports it as such.

Source: Linux v6.13 include/linux/scs.h and Documentation for SHADOW_CALL_STACK (grows upwards);
Dang, Maniatis, Wagner 2015 (traditional and parallel shadow stacks).
"""

from __future__ import annotations

from lab.unwind.api import (
    END,
    FRAME,
    SHADOW_MEMORY,
    SHADOW_PARALLEL,
    Mem,
    Reason,
    load64,
)


def pointer(mem: Mem, ssp: int) -> int:
    """The shadow-stack pointer: in memory, or in its register.  (A parallel shadow stack has none.)"""
    return load64(mem, mem.shadow_cell) if mem.shadow_kind == SHADOW_MEMORY else ssp


def entry(mem: Mem, p: int) -> tuple[int, int, int]:
    """(FRAME, return address, next p); (END, 0, p) at the bottom; (a Reason, 0, p) outside the storage."""
    if mem.shadow_kind == SHADOW_PARALLEL:
        while mem.shadow_base <= p <= mem.shadow_limit - 8:
            value = load64(mem, p)
            p = p + 8
            if value != 0:
                return FRAME, value, p
        return END, 0, p
    low = mem.shadow_base
    limit = mem.shadow_limit
    if low == mem.irq_shadow_low and mem.task_ssp != 0:
        if p == low:
            p = load64(mem, mem.task_ssp)
        if p < low or p > limit:
            low = mem.task_shadow_low
            limit = mem.task_shadow_high
    if p == low:
        return END, 0, p
    if p < low or p > limit or p & 7:
        return Reason.SHADOW_BOUNDS, 0, p
    return FRAME, load64(mem, p - 8), p - 8
