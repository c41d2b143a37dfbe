"""One execution counted instruction by instruction: everything a cost is made of is a sum over these.

An instruction counts once as a load if it reads memory at all and once as a store if it writes (``lab.cost.counts``);
bytes are those of unicorn's memory events.  The sums are checked against counters that were kept apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from functools import cached_property

from lab.arch.decode import Insn, Kind, decode_one
from lab.engine.native.profiling import NativeProfiler
from lab.engine.native.tables import TooWideError
from lab.errors import EngineError
from lab.images.image import Image
from lab.layout import ShadowLayout
from lab.machine.machine import Limits, Machine, Outcome, Process

BRANCHES = frozenset({Kind.CALL, Kind.RETURN, Kind.JUMP, Kind.BRANCH, Kind.INDIRECT})
"""Instructions that may leave the straight way: calls and returns too."""

Row = tuple[int, int, int, int, int]
"""Executions, loads, stores, bytes loaded, bytes stored."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Counts of a set of executed instructions.  ``taken``: times one of the ``branches`` was not followed by the next
    instruction in memory."""

    instructions: int = 0
    loads: int = 0
    stores: int = 0
    bytes_loaded: int = 0
    bytes_stored: int = 0
    branches: int = 0
    taken: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __bool__(self) -> bool:
        return any(astuple(self))


COUNTED = tuple(field.name for field in fields(Amounts))


def total(amounts: Iterable[Amounts]) -> Amounts:
    """The sum of *amounts*."""
    columns = list(zip(*map(astuple, amounts), strict=True))
    return Amounts(*map(sum, columns)) if columns else Amounts()


@dataclass(frozen=True)
class Profile:
    """An execution of *image*: ``at`` holds the counts of each executed pc, ``edges`` how often control went from a pc
    to one that does not follow it in memory, ``last`` the pc at which the execution ended.

    ``doubts``: what makes the counts by pc uncertain, in words (code that the guest wrote)."""

    image: Image
    outcome: Outcome
    at: dict[int, Amounts]
    edges: dict[tuple[int, int], int]
    last: int
    doubts: tuple[str, ...] = ()

    @cached_property
    def totals(self) -> Amounts:
        """Over the whole execution."""
        return total(self.at.values())

    def insn(self, pc: int) -> Insn:
        """The instruction at *pc* as the file has it."""
        return insn_of(self.image, pc)

    def executed(self, kind: Kind) -> int:
        """Executions of instructions of one kind."""
        return sum(amounts.instructions for pc, amounts in self.at.items() if self.insn(pc).kind is kind)

    @cached_property
    def calls(self) -> int:
        """Calls that retired: those whose next instruction was reached."""
        return self.executed(Kind.CALL) - (self.insn(self.last).kind is Kind.CALL)

    @cached_property
    def returns(self) -> int:
        """Executed return instructions (an inserted sequence may return by another kind of jump, and a plain one may
        return through a trampoline: this counts instructions)."""
        return self.executed(Kind.RETURN)


def insn_of(image: Image, pc: int) -> Insn:
    """The instruction at *pc* as *image* has it."""
    for segment in image.segments:
        if segment.address <= pc < segment.end:
            start = pc - segment.address
            return decode_one(image.arch, segment.data[start : start + image.arch.max_insn], pc)
    return decode_one(image.arch, b"", pc)


def profile(image: Image, layout: ShadowLayout | None, limits: Limits, process: Process | None = None) -> Profile:
    """Run *image* once (as *process*, if it is a real program), natively where its code fits the tables.

    EngineError where the counts by pc do not add up to what the hook counted."""
    machine = Machine(image, layout, limits, process)
    try:
        profiler = NativeProfiler(machine)
    except TooWideError:
        return profile_plainly(image, layout, limits, process)
    outcome = profiler.run()
    places, edges = profiler.places(), profiler.edges()
    if (found := sum(row[0] for row in places.values())) != profiler.instructions:
        raise EngineError(f"{image.path}: {found} instructions by pc, {profiler.instructions} in all")
    _check_flow(image, {pc: row[0] for pc, row in places.items()}, edges, profiler.last)
    written = {pc for start, end in profiler.changed for pc in range(start - image.arch.max_insn + 1, end)}
    changed = sorted({image.locate(pc) for pc in written & places.keys()})
    doubts = (f"code was written at {', '.join(changed[:3])}: counts there mix instructions",) if changed else ()
    return Profile(image, outcome, _at(image, places, edges), edges, profiler.last, doubts)


def profile_plainly(
    image: Image, layout: ShadowLayout | None, limits: Limits, process: Process | None = None
) -> Profile:
    """The same by Python hooks and the other decoder's lengths: what ``profile`` is compared with."""
    machine = Machine(image, layout, limits, process)
    rows: dict[int, list[int]] = {}
    edges: Counter[tuple[int, int]] = Counter()
    row: list[int] = []
    previous, following = -1, -1
    loaded = stored = False

    def instruction(pc: int) -> None:
        nonlocal row, previous, following, loaded, stored
        if pc != following and previous >= 0:
            edges[previous, pc] += 1
        row = rows.setdefault(pc, [0] * 5)
        row[0] += 1
        previous, following = pc, machine.insn_at(pc).end
        loaded = stored = False

    def access(is_write: bool, _address: int, size: int) -> None:
        nonlocal loaded, stored
        row[4 if is_write else 3] += size
        if is_write:
            row[2] += not stored
            stored = True
        else:
            row[1] += not loaded
            loaded = True

    outcome = machine.execute(instruction, access)
    places: dict[int, Row] = {pc: (r[0], r[1], r[2], r[3], r[4]) for pc, r in rows.items()}
    return Profile(image, outcome, _at(image, places, dict(edges)), dict(edges), previous)


def _at(image: Image, places: Mapping[int, Row], edges: Mapping[tuple[int, int], int]) -> dict[int, Amounts]:
    taken: Counter[int] = Counter()
    for (origin, _), times in edges.items():
        taken[origin] += times

    def branch(pc: int, executions: int) -> tuple[int, int]:
        return (executions, taken[pc]) if insn_of(image, pc).kind in BRANCHES else (0, 0)

    return {pc: Amounts(*row, *branch(pc, row[0])) for pc, row in places.items()}


def _check_flow(image: Image, executions: dict[int, int], edges: dict[tuple[int, int], int], last: int) -> None:
    """Each instruction is left as often as it is executed, but for the last one: to the next in memory or by an edge.

    EngineError names a pc that was left more often."""
    left: Counter[int] = Counter()
    for (origin, _), times in edges.items():
        left[origin] += times
    wrong = next((pc for pc, times in left.items() if times > executions.get(pc, 0) - (pc == last)), None)
    if wrong is not None:
        raise EngineError(f"{image.path}: {image.locate(wrong)} was left more often than it was executed")
