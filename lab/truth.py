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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Activation(NamedTuple):
    """One call that has not been returned from.  ``marker``: whatever the observer noted at the call.

    ``taken``: no call, but an exception that the processor took; ``ra`` is the pc it interrupted."""

    ra: int
    sp_at_call: int
    marker: int = 0
    taken: bool = False

    @property
    def inside(self) -> int:
        """An address within the function that goes on at ``ra``: that of an interrupted one may begin there."""
        return self.ra if self.taken else self.ra - 1


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A call that is about to execute: its return address, SP before it, and the observer's marker; or (*taken*) an
    exception that the processor has taken."""

    ra: int
    sp_at_call: int
    marker: int = 0
    taken: bool = False


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
        self._inside: tuple[int, ...] | None = ()
        self._previous = 0
        self._beneath: tuple[Activation, ...] = ()
        self.calls = 0

    def retire(self) -> CallEvent | None:
        """What was pending has happened: it is an activation now."""
        event = self._pending
        if event is not None:
            self._live.append(Activation(*_fields(event)))
            self._pending = None
            self.calls += not event.taken
            self._trace = None
        return event

    def before(self, pc: int, sp: int) -> None:
        """An instruction at *pc* is about to execute with stack pointer *sp*: apply what happened since."""
        live, event = self._live, self.retire()
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
            if self._function_of(self._live[index].inside) == function:
                return index
        return None

    def call(self, ra: int, sp: int, marker: int = 0) -> None:
        """The instruction at hand is a call: it becomes an activation once the next instruction is reached."""
        self._pending = CallEvent(ra, sp, marker)

    def take(self, pc: int, sp: int, marker: int = 0) -> None:
        """The processor has taken an exception before the instruction at *pc*, which is an activation like a call's."""
        self._pending = CallEvent(pc, sp, marker, taken=True)

    def entered(self, previous: int, beneath: tuple[Activation, ...] | None) -> None:
        """SP has moved here from another stack, at an instruction after the one at *previous*.  *beneath*: what is
        live on the stack it came from (innermost first), if this one is an interrupt stack and empty."""
        self._previous = previous
        if beneath is not None and not self._live:
            self._beneath = beneath
            self._trace = None

    @property
    def previous(self) -> int:
        """The instruction before this one."""
        return self._previous

    @property
    def pending(self) -> CallEvent | None:
        """The call that the last instruction was, if it was one."""
        return self._pending

    @property
    def innermost(self) -> Activation | None:
        """The activation of the function that is running; None where it was not made on this stack."""
        return self._live[-1] if self._live else None

    @property
    def depth(self) -> int:
        return len(self._live)

    def trace(self) -> tuple[int, ...]:
        """The live return addresses, innermost first; the stop's own pc is not among them."""
        if self._trace is None:
            live = self.activations()
            self._trace = tuple(activation.ra for activation in live)
            self._inside = tuple(activation.inside for activation in live) if any(a.taken for a in live) else None
        return self._trace

    def inside(self) -> tuple[int, ...] | None:
        """For each address of the trace one within the function that goes on there; None where that is just before
        it, as it is after calls: then no exception is on the trace."""
        self.trace()
        return self._inside or None

    def activations(self) -> tuple[Activation, ...]:
        """The live activations, innermost first, with those of the stack that an interrupt stack was entered from."""
        return (*reversed(self._live), *self._beneath)


def _fields(event: CallEvent) -> tuple[int, int, int, bool]:
    return event.ra, event.sp_at_call, event.marker, event.taken


class GuestTruth:
    """The truth stacks of one guest, of which the caller says which is current: the one that SP lies on.

    *linking*: of each stack, whether it is one of interrupts.  Such a one, entered while it is empty, stands upon what
    is live on the stack that SP comes from; no other stack does.
    """

    def __init__(
        self, linking: Sequence[bool], function_of: Callable[[int], int | None] = lambda address: None
    ) -> None:
        self._linking = tuple(linking)
        self.on = tuple(TruthStack(function_of) for _ in linking)
        """The truth of each stack."""
        self.now = self.on[0]
        """That of the current one."""

    @property
    def calls(self) -> int:
        """Calls retired on all stacks."""
        return sum(truth.calls for truth in self.on)

    def enter(self, index: int) -> None:
        """SP has moved to stack number *index*; what was pending has happened before, on the stack it left."""
        left = self.now
        left.retire()
        self.now = self.on[index]
        self.now.entered(left.previous, left.activations() if self._linking[index] else None)
