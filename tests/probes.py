"""Unwinders for tests: probes that record what they are shown, and planted faults that must be caught."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from lab.unwind import fp
from lab.unwind.api import END, FRAME, GOES_ON, Cursor, Mem, Reason, Regs, StepResult, Unwinder, load64


def make(name: str, start: Callable[[int, int, Regs], Cursor], step: Callable[[Any, Cursor], StepResult]) -> Unwinder:
    """An unwinder of two functions."""
    return Unwinder(name, name, "tests", start, step)


def reads_at(distance: int) -> Unwinder:
    """Reports the one word at SP - *distance*."""

    def start(mode: int, pc: int, regs: Regs) -> Cursor:
        return 0, regs.sp - distance

    def step(mem: Mem, cursor: Cursor) -> StepResult:
        done, address = cursor
        return (END, 0, cursor) if done else (FRAME, load64(mem, address), (1, address))

    return make(f"reads-{distance}", start, step)


def reports(index: int) -> Unwinder:
    """Reports the *index*-th start register (pc, sp, fp, lr, ssp) as if it were a return address."""

    def start(mode: int, pc: int, regs: Regs) -> Cursor:
        return 0, regs[index]

    def step(mem: Mem, cursor: Cursor) -> StepResult:
        done, value = cursor
        return (END, 0, cursor) if done else (FRAME, value, (1, value))

    return make(f"reports-{index}", start, step)


def _nothing(mode: int, pc: int, regs: Regs) -> Cursor:
    return (0,)


EMPTY = make("empty", _nothing, lambda mem, cursor: (END, 0, cursor))
RAISES = make("raises", _nothing, lambda mem, cursor: (END, 1 // 0, cursor))
RAISES_IN_START = make("raises-in-start", lambda mode, pc, regs: (1 // 0,), lambda mem, cursor: (END, 0, cursor))


def _forever(mem: Mem, cursor: Cursor) -> StepResult:
    while True:
        try:
            cursor = (cursor[0] + 1,)
        except Exception:
            continue


HANGS = make("hangs", _nothing, _forever)
LOOPS = make("loops", _nothing, lambda mem, cursor: (FRAME, 4096, cursor))
OUTSIDE = make("outside", _nothing, lambda mem, cursor: (FRAME, load64(mem, 8), cursor))
NOT_A_TUPLE = make("not-a-tuple", _nothing, lambda mem, cursor: None)  # type: ignore[arg-type, return-value]
BAD_STATUS = make("bad-status", _nothing, lambda mem, cursor: (99, 0, cursor))
BAD_ADDRESS = make("bad-address", _nothing, lambda mem, cursor: (FRAME, "main", cursor))  # type: ignore[arg-type, return-value]
BAD_CURSOR = make("bad-cursor", _nothing, lambda mem, cursor: (FRAME, 4096, (None,)))  # type: ignore[arg-type, return-value]
EXITS = make("exits", _nothing, lambda mem, cursor: sys.exit(0))
ARRAY_STATUS = make("array-status", _nothing, lambda mem, cursor: (np.array([0, 1]), 0, cursor))  # type: ignore[arg-type, return-value]
HUGE_STATUS = make("huge-status", _nothing, lambda mem, cursor: (1 << 40_000, 0, cursor))
NUMPY_ADDRESS = make("numpy-address", _nothing, lambda mem, cursor: (FRAME, np.int64(5), cursor))  # type: ignore[arg-type, return-value]
GENERATES = make("generates", _nothing, lambda mem, cursor: (n for n in (FRAME, 4096, iter(()))))  # type: ignore[arg-type, return-value]


def _assigning(mem: Mem, cursor: Cursor) -> StepResult:
    mem.stack_low = 0
    return END, 0, cursor


ASSIGNS = make("assigns", _nothing, _assigning)


def _stubborn(mem: Mem, cursor: Cursor) -> StepResult:
    """Reports a frame and refuses, in turn, for ever."""
    (turn,) = cursor
    return (Reason.EXCEPTION | GOES_ON, 0, (0,)) if turn else (FRAME, 4096, (1,))


STUBBORN = make("stubborn", _nothing, _stubborn)
REFUSES = make("refuses", _nothing, lambda mem, cursor: (Reason.EXCEPTION, 0, cursor))


def _refusing_fp(reason: Reason, *, skip: int = 0) -> Unwinder:
    """An fp walk that first refuses with *reason*, and whose continuation drops *skip* frames."""

    def start(mode: int, pc: int, regs: Regs) -> Cursor:
        return 1, skip, regs.fp, 0, 0, 0

    def step(mem: Mem, cursor: Cursor) -> StepResult:
        refusing, left, frame, low, here, gone = cursor
        if refusing:
            return reason | GOES_ON, 0, (0, left, frame, low, here, gone)
        status, ra, (frame, low, here, gone) = fp.step(mem, (frame, low, here, gone))
        if status == FRAME and left:
            status, ra, (frame, low, here, gone) = fp.step(mem, (frame, low, here, gone))
        return status, ra, (0, 0, frame, low, here, gone)

    return make(f"refusing-{skip}", start, step)


REFUSES_NEEDLESSLY = _refusing_fp(Reason.EXCEPTION)
REFUSES_JUSTLY = _refusing_fp(Reason.EXCEPTION, skip=1)


def _altered_fp(name: str, alter: Callable[[int], int | None]) -> Unwinder:
    """An fp walk whose *n*-th frame's address becomes ``alter(n)`` added, or is dropped where that is None."""

    def start(mode: int, pc: int, regs: Regs) -> Cursor:
        return 0, regs.fp, 0, 0, 0

    def step(mem: Mem, cursor: Cursor) -> StepResult:
        count, frame, low, here, gone = cursor
        status, ra, (frame, low, here, gone) = fp.step(mem, (frame, low, here, gone))
        change = alter(count)
        if status == FRAME and change is None:
            status, ra, (frame, low, here, gone) = fp.step(mem, (frame, low, here, gone))
            change = 0
        return status, ra + (change or 0) if status == FRAME else 0, (count + 1, frame, low, here, gone)

    return make(name, start, step)


def _doubling_fp() -> Unwinder:
    """An fp walk that reports each address twice."""

    def start(mode: int, pc: int, regs: Regs) -> Cursor:
        return 0, 0, regs.fp, 0, 0, 0

    def step(mem: Mem, cursor: Cursor) -> StepResult:
        again, last, frame, low, here, gone = cursor
        if again:
            return FRAME, last, (0, 0, frame, low, here, gone)
        status, ra, (frame, low, here, gone) = fp.step(mem, (frame, low, here, gone))
        return status, ra, (1 if status == FRAME else 0, ra, frame, low, here, gone)

    return make("doubles", start, step)


OFF_BY_ONE = _altered_fp("off-by-one", lambda n: 1 if n == 0 else 0)
SKIPS_FIRST = _altered_fp("skips-first", lambda n: None if n == 0 else 0)
SKIPS_SECOND = _altered_fp("skips-second", lambda n: None if n == 1 else 0)
DOUBLES = _doubling_fp()
