"""Shadow stack, trusted from any pc: what is on it is the trace.

Equation: (ra, p) = ([p - 8], p - 8), from the shadow-stack pointer down to the base (see shadow.py).
It does not ask whether the interrupted function has pushed yet, has popped already, or never pushes.

Source: the 2021 proposal ("[RFC PATCH 0/3] arm64: Implement reliable stack trace"); Linux v6.13
include/linux/scs.h for the layout.
"""

from __future__ import annotations

from lab.unwind.api import BLOCKED, SHADOW_PARALLEL, Cursor, Mem, Regs, StepResult, Unwinder
from lab.unwind.shadow import entry, pointer


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(0 until the pointer has been fetched, shadow-stack pointer register, sp).  That of a switched-out task is what
    its switch has saved, wherever the running task keeps its own."""
    return 1 if mode == BLOCKED else 0, regs.ssp, regs.sp


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One entry."""
    fetched, p, sp = cursor
    if not fetched:
        p = sp - mem.shadow_distance if mem.shadow_kind == SHADOW_PARALLEL else pointer(mem, p)
    status, ra, p = entry(mem, p)
    return status, ra, (1, p, 0)


UNWINDER = Unwinder(
    "scs", "shadow stack, top trusted from any pc", "2021 RFC; Linux v6.13 scs.h", start, step, needs_shadow=True
)
