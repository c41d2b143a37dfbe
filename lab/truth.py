"""The true call stack, from calls as they retire and from where control and SP go.  Never seen by an unwinder.

An activation is (ra, sp_at_call), pushed when a call retires.  It ends when control arrives at ``ra``
with SP at or above ``sp_at_call``, or when SP rises above ``sp_at_call``; not when a ``ret`` retires.
So ``pop; jmp``, ``ret x15``, longjmp and a throw come out right, and a tail call makes no activation.
``sp_at_call`` is SP before the call instruction executed: on x86-64 above the pushed return address.

Where several live activations have the same ``ra`` and the same SP, one arrival ends the innermost.
"""

from __future__ import annotations

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
    """The live activations of one guest stack, outermost first."""

    def __init__(self) -> None:
        self._live: list[Activation] = []
        self._pending: CallEvent | None = None
        self._trace: tuple[int, ...] | None = ()
        self.calls = 0

    def before(self, pc: int, sp: int) -> None:
        """An instruction at *pc* is about to execute with stack pointer *sp*: apply what happened since."""
        live = self._live
        if self._pending is not None:
            live.append(Activation(self._pending.ra, self._pending.sp_at_call, self._pending.marker))
            self._pending = None
            self.calls += 1
            self._trace = None
        while live and sp > live[-1].sp_at_call:
            live.pop()
            self._trace = None
        # What is left has sp_at_call >= sp.  Only equality counts as an arrival, and the innermost match lands.
        for index in range(len(live) - 1, -1, -1):
            if live[index].sp_at_call != sp:
                return
            if live[index].ra == pc:
                del live[index:]
                self._trace = None
                return

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
