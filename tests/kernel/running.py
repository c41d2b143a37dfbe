"""A workload in the small kernel, interrupted at every so many of its own instructions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from lab.arch import arch_by_name
from lab.images.build import build
from lab.images.image import Image, load_image
from lab.images.workloads import workload_by_name
from lab.machine.exceptions import TIMER
from lab.machine.machine import Limits, Machine, Outcome


@cache
def kernel_image(arch: str, workload: str, flags: tuple[str, ...] = ()) -> Image:
    return load_image(build(workload_by_name(workload), arch_by_name(arch), flags, runtime="kernel"))


def plain_image(arch: str, workload: str) -> Path:
    return build(workload_by_name(workload), arch_by_name(arch))


class Run:
    """One run; ``every``: the workload's own instructions between two interrupts, 0 for none.  Every third one is
    followed by another as soon as the handler lets one in.  ``watch`` is called before each instruction and
    ``before_take`` before each interrupt, both with this object and the pc."""

    def __init__(
        self,
        image: Image,
        every: int = 0,
        source: int = TIMER,
        watch: Callable[[Run, int], None] | None = None,
        before_take: Callable[[Run, int], None] | None = None,
    ) -> None:
        self.image, self.every, self.source = image, every, source
        self.watch, self.before_take = watch, before_take
        self.machine = Machine(image, limits=Limits(5_000_000, 120))
        found = self.machine.exceptions
        assert found is not None
        self.exceptions = found
        names = {name for f in image.functions if self.in_kernel(f.start) for name in f.names}
        self._detours = [f for f in image.functions if f.name.removesuffix(".detour") in names]
        self._own: dict[int, bool] = {}
        self.total = self.own = self.taken = self.nested = self.switches = self.in_user = 0
        self._pending = False

    def symbol(self, name: str) -> int:
        return self.image.symbols[name]

    def word(self, address: int) -> int:
        value = self.machine.memory.load(address)
        assert value is not None, hex(address)
        return value

    def variable(self, name: str) -> int:
        return self.word(self.symbol(name))

    def in_kernel(self, pc: int) -> bool:
        """Whether it is the kernel's text (user mode's included)."""
        return self.symbol("lab_kernel_text") <= pc < self.symbol("lab_kernel_text_end")

    def is_own(self, pc: int) -> bool:
        """Whether the instruction is the workload's: not the kernel's, nor out-of-line code of the kernel's."""
        known = self._own.get(pc)
        if known is None:
            known = not self.in_kernel(pc) and not any(f.start <= pc < f.end for f in self._detours)
            self._own[pc] = known
        return known

    def go(self) -> Outcome:
        return self.machine.execute(self._before)

    def _before(self, pc: int) -> None:
        if self._pending and not self.exceptions.masked:
            self._take(pc)
            return
        self.total += 1
        self.in_user += self.exceptions.in_user
        self.switches += pc == self.symbol("lab_switched")
        if self.is_own(pc):
            self.own += 1
            self._pending |= bool(self.every) and self.own % self.every == 0
        if self.watch:
            self.watch(self, pc)

    def _take(self, pc: int) -> None:
        self.taken += 1
        self.nested += self.variable("lab_irq_depth") > 0
        self._pending = self.taken % 3 == 0
        if self.before_take:
            self.before_take(self, pc)
        self.exceptions.interrupt(self.source)
