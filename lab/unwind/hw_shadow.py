"""The shadow stack that the hardware itself keeps: what is on it is the trace.

Equation, from the hardware's shadow-stack pointer p (which points at the newest entry) up to the limit::

    (ra, p) = ([p], p + 8)

A call pushes and a return pops in one instruction, so there is no moment at which the return address of the innermost
function is not on it; leaves push like all others.

Source: Arm ARM DDI 0487 (FEAT_GCS), Intel SDM vol. 1 ch. 17 (CET); Linux v6.13 Documentation/arch/arm64/gcs.rst and
Documentation/arch/x86/shstk.rst.  The engine models the hardware (``lab.engine.hardware``).
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, Cursor, Mem, Reason, Regs, StepResult, Unwinder, load64


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(the pointer,)"""
    return (regs.hssp,)


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One entry."""
    p = cursor[0]
    if p == mem.hw_limit:
        return END, 0, cursor
    if p < mem.hw_base or p > mem.hw_limit or p & 7:
        return Reason.SHADOW_BOUNDS, 0, cursor
    return FRAME, load64(mem, p), (p + 8,)


UNWINDER = Unwinder(
    "hw-shadow",
    "hardware shadow stack (GCS, CET)",
    "Arm DDI 0487 FEAT_GCS, Intel SDM vol. 1 ch. 17",
    start,
    step,
    hardware=True,
)
