"""Exceptions that a run takes on purpose: which, and what became of each.  Both engines ask the same questions."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from lab.engine.guest import Guest
from lab.engine.plan import Injection
from lab.errors import EngineError, InputError
from lab.features import DynamicFeatures
from lab.machine.exceptions import DEVICE, TIMER

NESTED = 2
"""So many exceptions of one task may be under way at once: one, and one inside its handler."""

HANDLER_STOP = "lab_handler_stop"
_NEVER = (1 << 64) - 1


@dataclass
class Taken:
    """One exception under way: where it interrupted what, and whether its handler's stop has been made."""

    pc: int
    sp: int
    task: int
    dynamic: DynamicFeatures
    stopped: bool = False


class Injector:
    """Says where exceptions are taken, in the order of execution, and keeps account of them."""

    def __init__(self, plan: Injection, guest: Guest) -> None:
        machine = guest.machine
        image, exceptions = machine.image, machine.exceptions
        if exceptions is None or HANDLER_STOP not in image.symbols:
            mend = "link it with the kernel runtime, or leave the stop mode inject out"
            raise InputError(f"{image.path}: it handles no interrupts; {mend}")
        self.image, self._plan, self._guest, self._exceptions = image, plan, guest, exceptions
        self.handler_stop = image.symbols[HANDLER_STOP]
        self._random = random.Random(plan.seed)
        self._executed: Counter[int] = Counter()
        self._next = self._gap() if plan.every else _NEVER
        self._under_way: list[Taken] = []
        self.taken = 0
        """Exceptions taken so far."""

    def _gap(self) -> int:
        every = self._plan.every
        return every if self._plan.seed == 0 else self._random.randint(max(1, every // 2), every + every // 2)

    def until(self, instructions: int) -> int:
        """How many instructions may retire before the question has to be asked again, whatever their pc; at least 1."""
        return max(1, self._next - instructions)

    def asks(self, pc: int) -> bool:
        """Whether each execution of *pc* matters: it may be interrupted for its own sake, or is returned to."""
        return self._executed[pc] < self._plan.each or any(taken.pc == pc for taken in self._under_way)

    def resumed(self, pc: int, sp: int) -> bool:
        """Whether the instruction at hand is one that was interrupted and is returned to."""
        for index in range(len(self._under_way) - 1, -1, -1):
            taken = self._under_way[index]
            if (taken.pc, taken.sp) == (pc, sp):
                del self._under_way[index]
                if not taken.stopped:
                    where = self.image.locate(pc)
                    raise EngineError(f"{self.image.path}: the exception at {where} came back without lab_handler_stop")
                return True
        return False

    def due(self, pc: int, instructions: int) -> bool:
        """Whether an exception is taken before the instruction at *pc*, number *instructions* from 0.  To be asked once
        for each execution that is not ``resumed``."""
        chosen = self._executed[pc] < self._plan.each
        self._executed[pc] += chosen
        if not (chosen or instructions >= self._next) or self._exceptions.masked:
            return False
        now = self._guest.current
        return sum(taken.task == now for taken in self._under_way) < NESTED

    def take(self, pc: int, sp: int, dynamic: DynamicFeatures, instructions: int) -> None:
        """It is taken: the processor goes on in the guest's handler.  One by count is the timer's, after which the
        guest may go on with another task."""
        self._under_way.append(Taken(pc, sp, self._guest.current, dynamic))
        self.taken += 1
        source = DEVICE
        if instructions >= self._next:
            self._next, source = instructions + self._gap(), TIMER
        self._exceptions.interrupt(source)

    def stop(self) -> Taken | None:
        """At the handler's stop: the exception it is for; None where the plan did not make it."""
        task = self._guest.current
        for taken in reversed(self._under_way):
            if taken.task == task and not taken.stopped:
                taken.stopped = True
                return taken
        return None

    @property
    def unstopped(self) -> int:
        """Exceptions under way whose handler has not come to its stop."""
        return sum(not taken.stopped for taken in self._under_way)


__all__ = ["NESTED", "Injector", "Taken"]
