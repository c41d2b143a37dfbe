"""A shadow stack and the frame records, side by side: refuses where they differ.

Equation, for a record at FP and the entry below the shadow-stack pointer p::

    (ra, fp) = ([fp + 8], [fp])     ra must be the shadow stack's entry     both must end together

What neither holds (the return address of an interrupted leaf is in LR) is not missed by comparing them.

Source: the 2021 discussion of "[RFC PATCH 0/3] arm64: Implement reliable stack trace"; see ``scs`` and ``fp``.
"""

from __future__ import annotations

from lab.unwind.api import (
    BLOCKED,
    END,
    FRAME,
    GOES_ON,
    SHADOW_PARALLEL,
    Cursor,
    Mem,
    Reason,
    Regs,
    StepResult,
    Unwinder,
    load64,
    strip,
)
from lab.unwind.kunwind import RECORD, lies_on
from lab.unwind.shadow import entry, pointer

_FIRST, _BOTH, _SHADOW = 0, 1, 2


def start(mode: int, pc: int, regs: Regs) -> Cursor:
    """(state, shadow-stack pointer or its register, sp, fp); a switched-out task's pointer is what was saved."""
    return _BOTH if mode == BLOCKED else _FIRST, regs.ssp, regs.sp, regs.fp


def step(mem: Mem, cursor: Cursor) -> StepResult:
    """One entry and one record."""
    state, p, sp, fp = cursor
    if state == _FIRST:
        p = sp - mem.shadow_distance if mem.shadow_kind == SHADOW_PARALLEL else pointer(mem, p)
    status, ra, after = entry(mem, p)
    if state == _SHADOW or status not in (FRAME, END):
        return status, ra, (_SHADOW, after, 0, 0)
    if fp & 7 or lies_on(mem, fp, RECORD) == 0:
        return Reason.SHADOW_MISMATCH | GOES_ON, 0, (_SHADOW, p, 0, 0)
    found = strip(mem, load64(mem, fp + 8))
    if status == END and found == 0 and fp == mem.final_record:
        return END, 0, (_SHADOW, p, 0, 0)
    if status == END or found != ra:
        return Reason.SHADOW_MISMATCH | GOES_ON, 0, (_SHADOW, p, 0, 0)
    return FRAME, ra, (_BOTH, after, 0, load64(mem, fp))


UNWINDER = Unwinder(
    "scs-fp", "shadow stack cross-checked with frame records", "2021 RFC", start, step, needs_shadow=True
)
