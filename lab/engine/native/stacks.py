"""The hook's truth of each of a guest's stacks, and which of them it has at hand."""

from __future__ import annotations

import numpy as np

from lab.engine.guest import Guest
from lab.engine.native.cells import BALANCE_USER, EXCEPTION, NOWHERE, TRUTH_WORDS, S, Truth
from lab.engine.native.state import State, Words
from lab.machine.stacks import StackKind
from lab.truth import Activation
from lab.unwind.api import SHADOW_NONE, SHADOW_PARALLEL
from lab.unwind.reader import OF_THE_STACK, Reader

_CELLS = (S.TRUTH, S.TRUTH_LIMIT, S.DEPTH, S.FIRST, S.TOP_AT_CALL, S.TOP_RA)
"""What each stack has of its own."""
_RECORDS = 256


class Stacks:
    """Moves *state* from stack to stack.  What an interrupt stack stands upon is copied below its own activations, as
    records whose AT_CALL is nowhere: SP never ends them."""

    def __init__(self, state: State, guest: Guest, reader: Reader) -> None:
        self._state, self.guest, self._reader = state, guest, reader
        self.on = 0
        self._base = [0] * len(guest.stacks)
        self._arrays = [(state.arrays["truth"], state.arrays["first"])]
        self._cells = [tuple(state[cell] for cell in _CELLS)]
        for _ in guest.stacks[1:]:
            truth = np.zeros((_RECORDS, TRUTH_WORDS), np.uint64)
            truth[0, Truth.AT_CALL] = NOWHERE
            first = np.zeros_like(state.arrays["first"])
            self._arrays.append((truth, first))
            self._cells.append((truth.ctypes.data, _RECORDS, 0, first.ctypes.data, NOWHERE, 0))
        self.show()

    def enter(self, index: int) -> None:
        """Stack number *index* is the one at hand: its truth, its bounds; and nothing memoised holds."""
        state, old = self._state, self.on
        self._cells[old] = tuple(state[cell] for cell in _CELLS)
        self._arrays[old] = (state.arrays["truth"], state.arrays["first"])
        self.on = index
        for cell, value in zip(_CELLS, self._cells[index], strict=True):
            state[cell] = value
        state.arrays["truth"], state.arrays["first"] = self._arrays[index]
        if self.guest.linking[index] and state[S.DEPTH] == self._base[index]:
            self._stand_upon(old)
        self.show()
        state[S.FLOOR] = 0
        state[S.TRUTH_VERSION] += 1
        state.forget()

    def _stand_upon(self, old: int) -> None:
        state, (below, first) = self._state, self._arrays[old]
        depth = self._cells[old][_CELLS.index(S.DEPTH)]
        while state[S.TRUTH_LIMIT] <= depth + 1:
            state.grow("truth")
        state.arrays["truth"][1 : depth + 1] = below[1 : depth + 1]
        state.arrays["truth"][1 : depth + 1, Truth.AT_CALL] = NOWHERE
        state.arrays["first"][:] = first
        state[S.DEPTH] = self._base[self.on] = depth
        state[S.TOP_AT_CALL] = NOWHERE

    def show(self) -> None:
        """The bounds of the stack at hand, for the hook and for the reference's reader."""
        state, stack = self._state, self.guest.stacks[self.on]
        state[S.STACK_LOW], state[S.STACK_HIGH], state[S.STACK_LAST] = stack.low, stack.high, stack.high - 8
        state[S.STACK_HOST], state[S.STACK_SLOT] = state.mapped(stack.low)
        state[S.STACK_SLOTS] = (stack.high - stack.low) >> 3
        if state[S.BALANCE]:
            state[S.BALANCE] = BALANCE_USER if stack.kind is StackKind.USER else 1
        self.guest.show(self._reader, self.on)
        for name in ("final_record", *OF_THE_STACK):
            state[S[name.upper()]] = getattr(self._reader, name)
        state[S.SHADOW_LOW] = state[S.SHADOW_SLOTS] = 0
        if state[S.SHADOW_KIND] not in (SHADOW_NONE, SHADOW_PARALLEL):
            state[S.SHADOW_LOW] = low = state[S.SHADOW_BASE]
            state[S.SHADOW_SLOTS] = (state[S.SHADOW_LIMIT] - low) >> 3
            state[S.SHADOW_HOST], state[S.SHADOW_SLOT] = state.mapped(low)

    def activations(self) -> tuple[Activation, ...]:
        """The live activations, innermost first."""
        return _activations(self._state.arrays["truth"], self._state[S.DEPTH])

    def others(self) -> dict[int, tuple[Activation, ...]]:
        """Of each stack that is not at hand the live activations, innermost first."""
        depth = _CELLS.index(S.DEPTH)
        numbers = [index for index in range(len(self._arrays)) if index != self.on]
        return {index: _activations(self._arrays[index][0], self._cells[index][depth]) for index in numbers}

    def innermost(self) -> Activation | None:
        """The activation of the function that is running; None where it was not made on this stack."""
        found = self.activations()[:1]
        return found[0] if found and found[0].sp_at_call != NOWHERE else None

    def hide_innermost(self) -> None:
        """For a stop at what the innermost activation returns to: it is not live there."""
        state = self._state
        named, bits = self._innermost_cells()
        if bits & 1:
            state.arrays["first"][named] = 0
        state[S.DEPTH] -= 1

    def show_innermost(self) -> None:
        """Undo ``hide_innermost``."""
        state = self._state
        state[S.DEPTH] += 1
        named, bits = self._innermost_cells()
        if bits & 1:
            state.arrays["first"][named] = state[S.DEPTH]

    def _innermost_cells(self) -> tuple[int, int]:
        record = self._state.arrays["truth"][self._state[S.DEPTH]]
        return int(record[Truth.NAMED]), int(record[Truth.IS_FIRST])


def _activations(truth: Words, depth: int) -> tuple[Activation, ...]:
    rows = truth[1 : depth + 1][::-1, [Truth.RA, Truth.AT_CALL, Truth.MARKER, Truth.IS_FIRST]].tolist()
    return tuple(Activation(ra, at_call, marker, bool(bits & EXCEPTION)) for ra, at_call, marker, bits in rows)
