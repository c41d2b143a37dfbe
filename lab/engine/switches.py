"""Switches from task to task, and what both engines note of a stop that is no boundary's and no call's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from lab.engine.guest import Guest
from lab.engine.injection import Injector
from lab.engine.plan import Plan
from lab.errors import EngineError, InputError
from lab.machine.outcome import End, Outcome
from lab.truth import Activation
from lab.unwind.api import BLOCKED, BOUNDARY, CALL, INJECT, MODES


@dataclass(frozen=True)
class Seen:
    """The true trace at a stop; and where exceptions are on it an address inside each function (TruthStack.inside)."""

    truth: tuple[int, ...]
    inside: tuple[int, ...] | None

    @classmethod
    def of(cls, live: Sequence[Activation]) -> Self:
        """That of *live*, innermost first."""
        inside = tuple(activation.inside for activation in live)
        return cls(tuple(a.ra for a in live), inside if any(a.taken for a in live) else None)


class Switches:
    """Counts SP's moves from a task's stack to another task's; each is over at ``lab_switched``."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._from: int | None = None
        self.made = 0

    def enter(self, old: int, new: int) -> None:
        """SP moves from stack number *old* to *new*.  EngineError where an earlier switch is not over."""
        guest = self._guest
        if guest.tasks is None or not (guest.is_task(old) and guest.is_task(new)):
            return
        if self._from is not None:
            raise EngineError(f"{guest.machine.image.path}: a switch of tasks did not pass lab_switched")
        self._from = old
        self.made += 1

    def end(self) -> int | None:
        """The switch is over: the stack of the task that was switched out, None where there was none."""
        old, self._from = self._from, None
        return old

    @property
    def under_way(self) -> int:
        """1 while a switch is not over."""
        return int(self._from is not None)


class Counted(Protocol):
    """What an engine knows of the stops that are neither boundary's nor call's."""

    switches: Switches
    injector: Injector | None


def stops_due(plan: Plan, instructions: int, calls: int, counted: Counted, outcome: Outcome) -> dict[int, int]:
    """How many stops of each mode there have to be: one for each retired instruction and call, for each exception
    taken (but for those whose handler was cut short in a run that did not end by itself) and each switch of tasks."""
    injector, switches = counted.injector, counted.switches
    taken = 0
    if injector is not None:
        taken = injector.taken - (injector.unstopped if outcome.end is not End.EXIT else 0)
    made = {BOUNDARY: instructions, CALL: calls, INJECT: taken, BLOCKED: switches.made - switches.under_way}
    return {mode: made[mode] * (name in plan.modes) for name, mode in MODES.items()}


def injector_of(plan: Plan, guest: Guest) -> Injector | None:
    """What takes the interrupts of *plan*, None where it takes none.  InputError where *guest* cannot have a stop that
    is asked for."""
    if "blocked" in plan.modes and guest.tasks is None:
        mend = "link it with the kernel runtime, or leave the stop mode blocked out"
        raise InputError(f"{guest.machine.image.path}: it has no tasks; {mend}")
    interrupts = plan.interrupts
    if interrupts is None or ("inject" not in plan.modes and guest.machine.exceptions is None):
        return None
    return Injector(interrupts, guest)


__all__ = ["Seen", "Switches", "injector_of", "stops_due"]
