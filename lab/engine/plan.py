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
from lab.machine.stacks import kernel_stacks
from lab.metadata.rules import RuleTable
from lab.metadata.tables import read_tables
from lab.unwind.api import BLOCKED, CALL, MODES, Unwinder
from lab.unwind.code_view import CodeView
from lab.unwind.reader import Reader, Source

RED_ZONE = 128  # bytes; System V x86-64 psABI 3.2.2
TICK_EVERY = 1999
"""Instructions from one timer interrupt to the next, where a plan with ``blocked`` stops does not say."""
KERNEL_MODES = frozenset({"inject", "blocked"})
"""The stop modes that need an image with the lab's kernel."""
AFTER_CALL = (CALL, BLOCKED)
"""The modes whose pc is a return address."""


@dataclass(frozen=True)
class Injection:
    """At which instructions an interrupt is taken: at the first *each* executions of every pc, and at about every
    *every*-th instruction (0: at none).  *seed* chooses the instructions of the latter; 0 takes each *every*-th.

    An interrupt by count that comes while they are masked is taken as soon as they are not; one of a pc is passed over.
    """

    each: int = 0
    every: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Poke:
    """The host writes *data* at *address* before instruction number *at* (from 0) of the run, and before the stop after
    a call that was the instruction before it.  Not into code."""

    at: int
    address: int
    data: bytes


@dataclass(frozen=True)
class Plan:
    """What one execution measures.

    ``model``: ``kernel`` puts the exception frame directly below SP; ``signal`` below the 128-byte red zone,
    for foreign x86-64 images that use one.  The two never share a table.  ``memo``: the native engine may
    take what it knows of a walk's tail from an earlier stop; without it every walk goes to its end.  ``process``:
    how a real program is started; None for a freestanding image.  ``injection``: the interrupts the run takes;
    ``seed`` chooses among those that are not given.  ``pokes``: host writes in the run, in order; ``rows``: rule tables
    that unwinders see in the place of the image's own (lab.mutation).
    """

    unwinders: tuple[Unwinder, ...]
    modes: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)
    stacks: int = 8
    model: str = "kernel"
    memo: bool = True
    process: Process | None = None
    injection: Injection | None = None
    seed: int = 0
    pokes: tuple[Poke, ...] = ()
    rows: tuple[RuleTable, ...] = ()

    @property
    def interrupts(self) -> Injection | None:
        """The interrupts of a run: those of the plan; where it wants stops that need some and says no more, one at the
        first execution of each pc (``inject``), and the timer's (``blocked``)."""
        wanted = Injection(int("inject" in self.modes), TICK_EVERY if "blocked" in self.modes else 0, self.seed)
        return wanted if self.injection is None and any((wanted.each, wanted.every)) else self.injection

    def machine(self, image: Image, rewrite: RewriteMap | None) -> Machine:
        """*image*, loaded and ready."""
        machine = Machine(image, rewrite.layout if rewrite else None, self.limits, self.process)
        if any(unwinder.hardware for unwinder in self.unwinders):
            map_hardware_shadow(machine)
        return machine

    @property
    def tables(self) -> tuple[int | RuleTable, ...]:
        """The rule tables that some unwinder looks up: by number, or those that stand in for them."""
        own = {table.kind: table for table in self.rows}
        wanted = sorted({table for unwinder in self.unwinders for table in unwinder.tables})
        return tuple(own.get(table, table) for table in wanted)


@dataclass(frozen=True)
class Execution:
    """What came of it.  ``instructions`` and ``calls`` are retired ones; ``wall_s`` seconds of host time.

    ``engines`` names the engine that judged each unwinder; ``notes`` say why where it was not the one asked for.
    ``injections``: exceptions taken by plan; ``switches``: switches away from a task.
    """

    outcome: Outcome
    instructions: int
    calls: int
    wall_s: float
    tallies: tuple[Tally, ...]
    stacks: tuple[KeptStack, ...]
    engines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    injections: int = 0
    switches: int = 0


def check_modes(plan: Plan) -> None:
    """EngineError where *plan* names a stop mode that does not exist."""
    unknown = set(plan.modes) - set(MODES)
    if unknown:
        raise EngineError(f"unknown stop mode {', '.join(sorted(unknown))}")


def make_reader(machine: Machine, tables: tuple[int | RuleTable, ...] = ()) -> Reader:
    """The unwinders' view of *machine*, with the rule tables *tables*: those given by number are the image's own."""
    image = machine.image
    given = {table.kind: table for table in tables if isinstance(table, RuleTable)}
    own = read_tables(image, [table for table in tables if not isinstance(table, RuleTable)])
    sites = CallSites(image, machine.memory, machine.changeable)
    machine.on_write(lambda _address, _size: sites.forget())
    code = CodeView(
        tables=own | given,
        text=tuple((s.address, s.end) for s in image.segments if s.flags & PF_X),
        stacks=kernel_stacks(image, (machine.stack_low, machine.stack_high)),
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


class Pokes:
    """The host writes of one run that are still to be made."""

    def __init__(self, machine: Machine, pokes: Sequence[Poke]) -> None:
        self._machine, self._due = machine, sorted(pokes, key=lambda poke: poke.at, reverse=True)

    def before(self, instructions: int) -> int | None:
        """Make those that are due before instruction number *instructions*; how many instructions later the next is."""
        while self._due and self._due[-1].at <= instructions:
            poke = self._due.pop()
            self._machine.write(poke.address, poke.data)
        return self._due[-1].at - instructions if self._due else None


def shadow_pointer(machine: Machine, register: int) -> int:
    """The guest's shadow-stack pointer, from its cell in memory or else *register*, the value of the one kept for it;
    0 without a shadow stack and where nothing is mapped at the cell.
    """
    layout = machine.layout
    if layout is None:
        return 0
    return register if layout.cell is None else machine.memory.load(layout.cell) or 0


def covered_by(
    coverage: Coverage, mode: int, pc: int, truth: tuple[int, ...], inside: tuple[int, ...] | None = None
) -> Callable[[Sequence[int]], bool]:
    """Tells whether a trace reported at *pc* names every function that is live there.  *inside*: see Coverage.live."""
    live = coverage.live(pc, truth, after_call=mode in AFTER_CALL, inside=inside)
    return lambda reported: coverage.known and live <= coverage.named(pc, reported)


def sp_left_text(image: Image, sp: int, pc: int) -> str:
    """The message for a guest whose stack pointer is outside the machine's stack."""
    return f"{image.path}: SP {sp:#x} left the machine's stack at {image.locate(pc)}"
