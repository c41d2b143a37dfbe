"""The true call stack, from calls as they retire and from where control and SP go.  Never seen by an unwinder.

An activation is (ra, sp_at_call), pushed when a call retires.  It ends when control arrives at ``ra``
with SP at or above ``sp_at_call``, or when SP rises above ``sp_at_call``; not when a ``ret`` retires.
So ``pop; jmp``, ``ret x15``, longjmp and a throw come out right, and a tail call makes no activation.
``sp_at_call`` is SP before the call instruction executed: on x86-64 above the pushed return address.

A call of another function is no arrival, even where it leads to ``ra``: a function that does not return was called
last, and lies next in memory.

Where several live activations have the same ``ra`` and the same SP, one arrival ends the innermost.

One addition to the two endings above, without which longjmp and a throw would not come out right.  Both
land in a function with SP exactly where it was at that function's call, but not at that call's ``ra``: SP
has not risen *above* it, so the callee that was jumped out of would stay on the books until the catching
function returned.  So an activation also ends when control enters the middle of the function that made the
call, from outside that function and not by a call, with SP equal to ``sp_at_call``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Activation(NamedTuple):
    """One call that has not been returned from.  ``marker``: whatever the observer noted at the call."""

    ra: int
    sp_at_call: int
    marker: int = 0


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A call that is about to execute: its return address, SP before it, and the observer's marker."""

    ra: int
    sp_at_call: int
    marker: int = 0


class TruthStack:
    """The live activations of one guest stack, outermost first.

    *function_of* maps an address to the start of the function it belongs to (out-of-line pieces belong to
    their function), None where unknown; without it landings from outside are not recognised.
    """

    def __init__(self, function_of: Callable[[int], int | None] = lambda address: None) -> None:
        self._function_of = function_of
        self._live: list[Activation] = []
        self._pending: CallEvent | None = None
        self._trace: tuple[int, ...] | None = ()
        self._previous = 0
        self.calls = 0

    def before(self, pc: int, sp: int) -> None:
        """An instruction at *pc* is about to execute with stack pointer *sp*: apply what happened since."""
        live, event = self._live, self._pending
        if event is not None:
            live.append(Activation(event.ra, event.sp_at_call, event.marker))
            self._pending = None
            self.calls += 1
            self._trace = None
        while live and sp > live[-1].sp_at_call:
            live.pop()
            self._trace = None
        # What is left has sp_at_call >= sp: only equality can be an arrival, and a call of another function is none.
        within = event is None or self._function_of(pc) == self._function_of(event.ra - 1)
        if within and live and live[-1].sp_at_call == sp:
            landed = self._landed(pc, sp)
            if landed is None and event is None:
                landed = self._landed_beside(pc, sp)
            if landed is not None:
                del live[landed:]
                self._trace = None
        self._previous = pc

    def _landed(self, pc: int, sp: int) -> int | None:
        """The index of the innermost activation that returns to *pc* at this SP."""
        for index in range(len(self._live) - 1, -1, -1):
            if self._live[index].sp_at_call != sp:
                return None
            if self._live[index].ra == pc:
                return index
        return None

    def _landed_beside(self, pc: int, sp: int) -> int | None:
        """The same for a landing in the middle of the calling function, from outside it (longjmp, throw)."""
        function = self._function_of(pc)
        if function is None or function == pc or self._function_of(self._previous) == function:
            return None
        for index in range(len(self._live) - 1, -1, -1):
            if self._live[index].sp_at_call != sp:
                return None
            if self._function_of(self._live[index].ra - 1) == function:
                return index
        return None

    def call(self, ra: int, sp: int, marker: int = 0) -> None:
        """The instruction at hand is a call: it becomes an activation once the next instruction is reached."""
        self._pending = CallEvent(ra, sp, marker)

    @property
    def pending(self) -> CallEvent | None:
        """The call that the last instruction was, if it was one."""
        return self._pending

    @property
    def innermost(self) -> Activation | None:
        """The activation of the function that is running."""
        return self._live[-1] if self._live else None

    @property
    def depth(self) -> int:
        return len(self._live)

    def trace(self) -> tuple[int, ...]:
        """The live return addresses, innermost first; the stop's own pc is not among them."""
        if self._trace is None:
            self._trace = tuple(activation.ra for activation in reversed(self._live))
        return self._trace

    def activations(self) -> tuple[Activation, ...]:
        """The live activations, innermost first."""
        return tuple(reversed(self._live))
