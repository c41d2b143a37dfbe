"""The stacks and tasks of the guest of one run, for both engines: where SP is, and what a switched-out task saved."""

from __future__ import annotations

import bisect

from lab.engine.hardware import HardwareStacks
from lab.errors import EngineError, InputError
from lab.machine.machine import Machine
from lab.machine.memory import Mapping
from lab.machine.stacks import GuestStack, StackKind, guest_stacks, tasks_of
from lab.unwind.api import Regs
from lab.unwind.reader import Reader

_TRAMPOLINES = ("return_to_handler", "lab_kretprobe_trampoline")
_OF_TASKS = ("task", "task_flags", "task_regs", "task_ssp", "task_shadow_low", "task_shadow_high", "task_trace")


class Guest:
    """What the image of *machine* says of its stacks and tasks.  ``stacks[0]`` is the one it starts on."""

    def __init__(self, machine: Machine) -> None:
        self.machine, image = machine, machine.image
        self.stacks = guest_stacks(image, (machine.stack_low, machine.stack_high))
        self.tasks = tasks_of(image)
        self.hardware = HardwareStacks(machine, self.stacks)
        self.linking = tuple(stack.kind is StackKind.IRQ for stack in self.stacks)
        self.mappings = tuple(self._mapping(stack) for stack in self.stacks)
        self.owners = {stack.owner: i for i, stack in enumerate(self.stacks) if stack.kind is StackKind.TASK}
        interrupts = [stack for stack in self.stacks if stack.kind is StackKind.IRQ] or [GuestStack(0, 0)]
        names = ("irq_low", "irq_high", "irq_shadow_low", "irq_shadow_high")
        self._irq = dict(zip(names, interrupts[0][: len(names)], strict=True))
        symbols = self.machine.image.symbols
        self._trampolines = {name.removeprefix("lab_"): symbols.get(name, 0) for name in _TRAMPOLINES}
        self._order = sorted(range(len(self.stacks)), key=lambda index: self.stacks[index].low)
        self._lows = [self.stacks[index].low for index in self._order]

    def _mapping(self, stack: GuestStack) -> Mapping:
        found = self.machine.memory.find(stack.low)
        if found is None or stack.high > found.end:
            raise InputError(f"{self.machine.image.path}: lab_stacks: nothing is mapped at {stack.low:#x}")
        return found

    def holding(self, sp: int) -> int | None:
        """The number of the stack that *sp* lies on, or just above; None where it lies on none."""
        at = bisect.bisect_right(self._lows, sp) - 1
        return self._order[at] if at >= 0 and sp <= self.stacks[self._order[at]].high else None

    def is_task(self, index: int) -> bool:
        """Whether stack number *index* is a task's."""
        return self.stacks[index].kind is StackKind.TASK

    @property
    def current(self) -> int:
        """The struct of the running task, 0 without tasks."""
        return 0 if self.tasks is None else self.machine.memory.load(self.tasks.current) or 0

    def show(self, reader: Reader, index: int) -> None:
        """Have *reader* take stack number *index* for the one at hand."""
        stack, mapping = self.stacks[index], self.mappings[index]
        low, high = self._shadow(index)
        hw_base, hw_limit = self.hardware.place(index)
        facts = {"shadow_base": low, "shadow_limit": high, "hw_base": hw_base, "hw_limit": hw_limit}
        facts |= self._task_facts(index) | self._irq | self._trampolines
        reader.enter((stack.low, stack.high), mapping.pages, mapping.start, facts)

    def _shadow(self, index: int) -> tuple[int, int]:
        """[base, limit) of the shadow stack that goes with a stack."""
        stack, layout = self.stacks[index], self.machine.layout
        if index and layout is not None and layout.distance is not None:
            return stack.low - layout.distance, stack.high - layout.distance
        if index and stack.shadow_high:
            return stack.shadow_low, stack.shadow_high
        return self.machine.shadow_bounds

    def _task_facts(self, index: int) -> dict[str, int]:
        """Of the task whose stack it is; on an interrupt stack, of the one that was interrupted."""
        stack, machine = self.stacks[index], self.machine
        task = self.current if stack.kind is StackKind.IRQ else stack.owner
        if self.tasks is None or task == 0:
            return {"final_record": machine.final_record} | dict.fromkeys(_OF_TASKS, 0)
        regs = machine.memory.load(task + self.tasks.layout.regs) or 0
        final = regs + (machine.arch.pt_regs.metadata or 0)
        facts = {"final_record": final, "task": task, "task_flags": self.tasks.layout.flags, "task_regs": regs}
        return facts | self._task_shadow(task) | {"task_trace": self._trace_of(task)}

    def _trace_of(self, task: int) -> int:
        """Where function tracers keep *task*'s return addresses; 0 where the image has no tracers."""
        symbols = self.machine.image.symbols
        if "lab_task_trace" not in symbols or task not in self.owners:
            return 0
        size = self.machine.memory.load(symbols["lab_task_trace_size"]) or 0
        return symbols["lab_task_trace"] + (self.owners[task] - 1) * size

    def _task_shadow(self, task: int) -> dict[str, int]:
        """Where *task*'s shadow-stack pointer is kept while another stack's is in use, and that shadow stack."""
        low, high = self._shadow(self.owners[task]) if task in self.owners else (0, 0)
        return {"task_ssp": task + self._saved_ssp if high else 0, "task_shadow_low": low, "task_shadow_high": high}

    @property
    def _saved_ssp(self) -> int:
        """The offset in a task's struct of its saved shadow-stack pointer."""
        assert self.tasks is not None
        shadow, layout = self.machine.layout, self.tasks.layout
        return layout.ssp if shadow is None or shadow.cell is None else layout.cell

    def begins_at(self, index: int, old: int) -> int | None:
        """Where the task of stack number *index*, which SP has come to from stack *old*, begins; None where it is not
        a switch to a task that has not run."""
        switch = self.tasks is not None and self.is_task(old) and self.is_task(index)
        return self._saved(index).pc if switch and self.hardware.mapped and self.hardware.is_new(index) else None

    def saved(self, index: int) -> Regs:
        """What the switch has saved of the task whose stack is number *index*: SP and the hardware's shadow-stack
        pointer as where it is resumed, LR 0.

        EngineError where that is not in memory.
        """
        regs = self._saved(index)
        return regs._replace(hssp=self.hardware.parked(index, regs.pc))

    def _saved(self, index: int) -> Regs:
        assert self.tasks is not None
        layout, frame, task = self.tasks.layout, self.tasks.frame, self.stacks[index].owner
        ssp = 0 if self.machine.layout is None else self._load(task + self._saved_ssp)
        sp = self._load(task + layout.sp)
        if frame is None:
            return Regs(self._load(task + layout.pc), sp, self._load(task + layout.fp), 0, ssp)
        pc_at = sp + frame.pc
        return Regs(self._load(pc_at), pc_at + self.machine.arch.call_pushes, self._load(sp + frame.fp), 0, ssp)

    def _load(self, address: int) -> int:
        value = self.machine.memory.load(address)
        if value is None:
            raise EngineError(f"{self.machine.image.path}: a task saved nothing at {address:#x}")
        return value


def check_saved(machine: Machine, regs: Regs, expected: tuple[int, int] | None) -> None:
    """EngineError unless a switched-out task goes on where its innermost call returns to: *expected* is that (return
    address, SP at the call).  Two sources that must agree."""
    if expected != (regs.pc, regs.sp):
        said = "nothing live" if expected is None else f"{expected[0]:#x} with SP {expected[1]:#x}"
        place = f"{machine.image.locate(regs.pc)} with SP {regs.sp:#x}"
        raise EngineError(f"{machine.image.path}: a task was saved at {place}, the truth has {said}")


__all__ = ["Guest", "check_saved"]
