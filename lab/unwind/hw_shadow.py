"""The shadow stack that the hardware itself keeps: what is on it is the trace.

Equation, from the hardware's shadow-stack pointer p (which points at the newest entry) up to the limit::

    (ra, p) = ([p], p + 8)                a call's return address
    (ra, p) = ([p + 8], p + 32)           [p] is 9: an Arm exception return record {9, ELR, SPSR, LR}
    (ra, p) = ([p + 8], [p])              [p] lies on this shadow stack above p: an x86 frame {old SSP, LIP, CS}

A call pushes and a return pops in one instruction, so there is no moment at which the return address of the innermost
function is not on it; leaves push like all others.

Source: Arm ARM DDI 0487 (FEAT_GCS), Intel SDM vol. 1 ch. 17 (CET); Linux v6.13 Documentation/arch/arm64/gcs.rst and
Documentation/arch/x86/shstk.rst.  The engine models the hardware (``lab.engine.hardware``).
"""

from __future__ import annotations

from lab.unwind.api import END, FRAME, Cursor, Mem, Reason, Regs, StepResult, Unwinder, load64

GCS_RECORD = 9


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
    first = load64(mem, p)
    if first == GCS_RECORD:
        return FRAME, load64(mem, p + 8), (p + 32,)
    if p + 24 <= first <= mem.hw_limit:
        return FRAME, load64(mem, p + 8), (first,)
    return FRAME, first, (p + 8,)


UNWINDER = Unwinder(
    "hw-shadow",
    "hardware shadow stack (GCS, CET)",
    "Arm DDI 0487 FEAT_GCS, Intel SDM vol. 1 ch. 17",
    start,
    step,
    hardware=True,
)
