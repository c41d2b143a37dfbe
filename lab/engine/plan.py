"""What both engines are asked and what they answer; and what they must not each do in their own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.covers import Coverage
from lab.engine.hardware import hardware_shadow, map_hardware_shadow
from lab.engine.tally import KeptStack, Tally
from lab.errors import EngineError
from lab.images.image import Image
from lab.images.rawelf import PF_X
from lab.layout import RewriteMap
from lab.machine.calls import CallSites
from lab.machine.machine import Limits, Machine, Outcome, Process
from lab.metadata.tables import read_tables
from lab.unwind.api import CALL, MODES, Unwinder
from lab.unwind.code_view import CodeView
from lab.unwind.reader import Reader, Source

RED_ZONE = 128  # bytes; System V x86-64 psABI 3.2.2


@dataclass(frozen=True)
class Plan:
    """What one execution measures.

    ``model``: ``kernel`` puts the exception frame directly below SP; ``signal`` below the 128-byte red zone,
    for foreign x86-64 images that use one.  The two never share a table.  ``memo``: the native engine may
    take what it knows of a walk's tail from an earlier stop; without it every walk goes to its end.  ``process``:
    how a real program is started; None for a freestanding image.
    """

    unwinders: tuple[Unwinder, ...]
    modes: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)
    stacks: int = 8
    model: str = "kernel"
    memo: bool = True
    process: Process | None = None

    def machine(self, image: Image, rewrite: RewriteMap | None) -> Machine:
        """*image*, loaded and ready."""
        machine = Machine(image, rewrite.layout if rewrite else None, self.limits, self.process)
        if any(unwinder.hardware for unwinder in self.unwinders):
            map_hardware_shadow(machine)
        return machine

    @property
    def tables(self) -> tuple[int, ...]:
        """The rule tables that some unwinder looks up."""
        return tuple(sorted({table for unwinder in self.unwinders for table in unwinder.tables}))


@dataclass(frozen=True)
class Execution:
    """What came of it.  ``instructions`` and ``calls`` are retired ones; ``wall_s`` seconds of host time.

    ``engines`` names the engine that judged each unwinder; ``notes`` say why where it was not the one asked for.
    """

    outcome: Outcome
    instructions: int
    calls: int
    wall_s: float
    tallies: tuple[Tally, ...]
    stacks: tuple[KeptStack, ...]
    engines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_modes(plan: Plan) -> None:
    """EngineError where *plan* names a stop mode that does not exist."""
    unknown = set(plan.modes) - set(MODES)
    if unknown:
        raise EngineError(f"unknown stop mode {', '.join(sorted(unknown))}")


def make_reader(machine: Machine, tables: tuple[int, ...] = ()) -> Reader:
    """The unwinders' view of *machine*, with the rule tables *tables*."""
    image = machine.image
    sites = CallSites(image, machine.memory, machine.changeable)
    machine.on_write(lambda _address, _size: sites.forget())
    code = CodeView(
        tables=read_tables(image, tables),
        text=tuple((s.address, s.end) for s in image.segments if s.flags & PF_X),
        stacks=((machine.stack_low, machine.stack_high),),
        hardware=hardware_shadow(machine),
        ends_call=sites.ends,
    )
    source = Source(
        load=machine.memory.load,
        stack_pages=machine.stack_pages,
        read=machine.memory.read,
        registers=machine.registers,
        stack=(machine.stack_low, machine.stack_high),
        shadow=machine.shadow_bounds,
        final_record=machine.final_record,
        code=code,
    )
    return Reader(machine.arch, source, machine.layout)


def shadow_pointer(machine: Machine, register: int) -> int:
    """The guest's shadow-stack pointer, from its cell in memory or else *register*, the value of the one kept for it;
    0 without a shadow stack and where nothing is mapped at the cell.
    """
    layout = machine.layout
    if layout is None:
        return 0
    return register if layout.cell is None else machine.memory.load(layout.cell) or 0


def covered_by(coverage: Coverage, mode: int, pc: int, truth: tuple[int, ...]) -> Callable[[Sequence[int]], bool]:
    """Tells whether a trace reported at *pc* names every function that is live there."""
    live = coverage.live(pc, truth, after_call=mode == CALL)
    return lambda reported: coverage.known and live <= coverage.named(pc, reported)


def sp_left_text(image: Image, sp: int, pc: int) -> str:
    """The message for a guest whose stack pointer is outside the machine's stack."""
    return f"{image.path}: SP {sp:#x} left the machine's stack at {image.locate(pc)}"
