"""The memory of one unwinder that the hook and Python share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lab.engine.native.cells import INDEX_SIZE, NOWHERE, PATH_LIMIT, P, Record
from lab.unwind.api import BLOCKED, INJECT, MASK64
from lab.unwind.host import STEP_BUDGET

_PREFIX_STEPS = 3 * STEP_BUDGET + 64
"""A walk makes at most a budget of steps that report, one of steps that refuse and go on, and one more."""


class UnwinderState:
    """The block ``P`` of one unwinder and everything it points to."""

    def __init__(self, index: int, native: tuple[int, int, int, int], slots: int) -> None:
        evaluator, words, reads, tracked = native
        self.block = np.zeros(len(P), np.uint64)
        width = Record.CURSOR + words
        self._arrays: dict[P, npt.NDArray[Any]] = {
            P.PATH: np.zeros((PATH_LIMIT + 1, width), np.uint64),
            P.PREFIX: np.zeros((_PREFIX_STEPS if evaluator else 1, width), np.uint64),
            P.INDEX: np.zeros(INDEX_SIZE, np.uint32),
            P.MARKS: np.zeros(slots if evaluator else 1, np.uint64),
        }
        for cell, array in self._arrays.items():
            self.block[cell] = array.ctypes.data
        self.block[P.EVALUATE], self.block[P.WIDTH] = evaluator, 8 * width
        self.block[P.BIT] = 1 << index
        self.block[P.READS] = self.block[P.ACTIVE] = reads
        self.block[P.TRACKED] = tracked
        self.block[P.PLAIN] = evaluator == 0
        self.block[P.LOWEST] = self.block[P.HW_READ] = NOWHERE
        self.block[P.START_COUNT] = MASK64
        self.block[P.LAST : P.LAST_BLOCKED + 1] = MASK64  # nothing said yet: the first stop makes a vector
        self.set_full(INJECT)
        self.set_full(BLOCKED)

    def code(self, mode: int) -> int:
        """What it said at the stop at hand."""
        return int(self.block[P.LAST + mode])

    def set_full(self, mode: int) -> None:
        """As many stacks are kept as were asked for."""
        self.block[P.FULL + mode] = 1

    def forget(self) -> None:
        """Nothing memoised holds."""
        self.block[P.TOP] = self.block[P.EQUAL] = 0
        self.block[P.DIRTY] = 1
        self.block[P.VERSION] += np.uint64(1)
