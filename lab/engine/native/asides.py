"""Stops that are neither a boundary's nor a call's, and the exceptions that lead to some of them.

They are rare: the hook asks Python at the instructions concerned, judges every unwinder there in compiled code as
everywhere, and Python counts the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lab.engine.guest import Guest, check_saved
from lab.engine.hardware import EXCEPTION_RETURNS
from lab.engine.native.cells import EXCEPTION_RETURN, TICKS, Changed, S
from lab.engine.native.stacks import Stacks
from lab.engine.native.state import State
from lab.engine.plan import Plan, Pokes, shadow_pointer
from lab.engine.switches import Switches, injector_of
from lab.features import DynamicFeatures, Features
from lab.machine.machine import Machine
from lab.unwind.api import BLOCKED, INJECT, Regs
from lab.verdict import Judgement

_REGISTERS = (S.PC, S.SP, S.FP, S.LR, S.SSP, S.HSSP)


@dataclass(frozen=True)
class Aside:
    """The stop under way: where it is counted, and with which features."""

    mode: int
    place: int
    dynamic: DynamicFeatures


class Asides:
    """The ``inject`` and ``blocked`` stops of one run."""

    def __init__(self, machine: Machine, state: State, stacks: Stacks, features: Features, plan: Plan) -> None:
        self._machine, self._state, self.stacks, self._features = machine, state, stacks, features
        self._guest: Guest = stacks.guest
        self._modes = plan.modes
        self._pokes = Pokes(machine, plan.pokes)
        self.switches = Switches(self._guest)
        self.injector = injector_of(plan, self._guest)
        self.watched = {} if self._guest.tasks is None else {self._guest.tasks.switched: BLOCKED}
        if self.injector is not None:
            self.watched[self.injector.handler_stop] = INJECT
        self._now: Aside | None = None
        self._kept: tuple[int, ...] = ()
        self._returns: set[int] = set()
        self.listeners: list[Callable[[Aside, tuple[Judgement, ...]], None]] = []
        """Told of each stop when it has been judged, while the stack it is for is at hand (``stacks.on``)."""
        self.counts: Counter[tuple[int, int, DynamicFeatures, tuple[Judgement, ...]]] = Counter()
        self.stops: Counter[int] = Counter()

    @property
    def now(self) -> Aside:
        """The stop under way."""
        assert self._now is not None
        return self._now

    @property
    def made(self) -> tuple[int, int]:
        """Exceptions taken, and switches away from a task."""
        return (self.injector.taken if self.injector else 0), self.switches.made

    @property
    def hardware_faults(self) -> int:
        """How often the processor would have faulted for its shadow stack, where Python does its work."""
        return self._guest.hardware.faults

    def moved(self, sp: int) -> bool:
        """SP is on another stack than before; False where it is on none."""
        index = self._guest.holding(sp)
        if index is None:
            return False
        self.switches.enter(self.stacks.on, index)
        begins_at = self._guest.begins_at(index, self.stacks.on)
        self._state[S.HSSP] = self._guest.hardware.enter(index, self._state[S.HSSP], begins_at)
        self.stacks.enter(index)
        return True

    # -- exceptions -----------------------------------------------------------------------------------------

    def asks(self, pc: int) -> bool:
        """Whether Python has to see every execution of *pc*."""
        return self.injector is not None and self.injector.asks(pc)

    def most(self, pc: int, sp: int, instructions: int) -> int:
        """How many instructions may run before this is asked again, the one at *pc* included; 0 where an exception is
        taken instead."""
        injector, poke = self.injector, self._pokes.before(instructions)
        ticks = TICKS if poke is None else min(TICKS, poke)
        if injector is None:
            return ticks
        if not injector.resumed(pc, sp) and injector.due(pc, instructions):
            return 0
        return min(ticks, injector.until(instructions))

    def take(self, pc: int, instructions: int) -> None:
        """An exception is taken before the instruction at *pc*, at which the hook has arrived."""
        state = self._state
        assert self.injector is not None
        regs = Regs(pc, state[S.SP], state[S.FP], state[S.LR], state[S.SSP])
        shadow = shadow_pointer(self._machine, regs.ssp)
        self.injector.take(pc, regs.sp, self._dynamic(regs, shadow), instructions)

    def delivered(self, pc: int, sp: int) -> None:
        """A handler runs next, a signal's or an exception's; what the hardware's shadow stack keeps of an exception at
        *pc* is written by the host."""
        hardware, state = self._guest.hardware, self._state
        state.delivered(pc, sp)
        if hardware.mapped and self._machine.exceptions is not None:
            state[S.HSSP] = hardware.taken(pc, state[S.HSSP])
            state.forget()

    def returned(self, pc: int) -> None:
        """A return from an exception has gone to *pc*."""
        self._state[S.HSSP] = self._guest.hardware.returned(pc, self._state[S.HSSP])
        self._state[S.CHANGED] |= Changed.HSSP

    # -- stops ----------------------------------------------------------------------------------------------

    def watches(self, pc: int) -> bool:
        """Whether Python has to see the instruction at *pc*, which is being decoded, each time before it executes."""
        if self._guest.hardware.mapped and self._machine.insn_at(pc).mnemonic.split()[-1] in EXCEPTION_RETURNS:
            self._returns.add(pc)
        return pc in self.watched or pc in self._returns

    def begin(self, pc: int) -> int:
        """Before the watched instruction at *pc*: the mode of the stop to make there, 0 for none."""
        if pc in self._returns:
            self._state[S.RETURNING] = EXCEPTION_RETURN
            return 0
        if self.watched[pc] == BLOCKED:
            return self._begin_blocked()
        assert self.injector is not None
        taken = self.injector.stop()
        if taken is None or "inject" not in self._modes:
            return 0
        self._now = Aside(INJECT, taken.pc, taken.dynamic)
        return INJECT

    def _begin_blocked(self) -> int:
        index = self.switches.end()
        if index is None or "blocked" not in self._modes:
            return 0
        state, stacks = self._state, self.stacks
        self._kept = (stacks.on, *(state[cell] for cell in _REGISTERS))
        stacks.enter(index)
        saved, live = self._guest.saved(index), stacks.activations()
        check_saved(self._machine, saved, (live[0].ra, live[0].sp_at_call) if live else None)
        stacks.hide_innermost()
        for cell, value in zip(_REGISTERS, saved, strict=True):
            state[cell] = value
        self._now = Aside(BLOCKED, saved.pc, self._dynamic(saved, saved.ssp, after_call=True))
        return BLOCKED

    def end(self, judged: tuple[Judgement, ...]) -> None:
        """The stop under way has been judged."""
        now, state = self.now, self._state
        for listener in self.listeners:
            listener(now, judged)
        self.counts[now.mode, now.place, now.dynamic, judged] += 1
        self.stops[now.mode] += 1
        self._now = None
        if now.mode == BLOCKED:
            self.stacks.show_innermost()
            for cell, value in zip(_REGISTERS, self._kept[1:], strict=True):
                state[cell] = value
            self.stacks.enter(self._kept[0])
        else:
            state.forget()

    def _dynamic(self, regs: Regs, shadow: int, *, after_call: bool = False) -> DynamicFeatures:
        registers = (regs.sp, regs.fp, shadow)
        live, innermost, load = self.stacks.activations(), self.stacks.innermost(), self._machine.memory.load
        interrupted = any(activation.taken for activation in live)
        return self._features.dynamic(
            regs.pc, registers, innermost, load, after_call=after_call, interrupted=interrupted
        )
