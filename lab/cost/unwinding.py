"""What a walk reads: words of memory, cache lines, steps, and bytes of unwind tables, per unwound frame.

Counted in the reference engine's reader, at ``call`` stops (where the caller of an unwinder stands) or others.  They
are properties of the designs as modelled.  How fast this lab walks is nobody's unwinding speed and is not given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab import registry
from lab.engine.plan import Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.switches import Seen
from lab.errors import InputError
from lab.features import DynamicFeatures
from lab.images.workloads import workload_by_name
from lab.job import Job, Subject, check_outcome, prepare, unsupported
from lab.machine.outcome import Outcome
from lab.metadata.orc import ENTRY_SIZE
from lab.metadata.rules import Format, RuleTable
from lab.metadata.sframe import FDE_SIZE, HEADER_SIZE, VERSIONS
from lab.unwind.api import Regs, Unwinder
from lab.unwind.host import Ending, walk

LINE = 64
"""Bytes of a cache line."""
PLACE = 4
"""Bytes of the address that a step of a binary search reads, in each format's index."""


@dataclass(frozen=True)
class UnwindRow:
    """Sums over *walks* of one unwinder.  ``reads``: words of eight bytes; ``lines``: different cache lines of a walk;
    ``lookups`` in rule tables, and the ``table_bytes`` they touch (see ``lookup_bytes``); ``complete``: walks that came
    to the end of the stack rather than refuse or crash."""

    arch: str
    workload: str
    proposal: str
    unwinder: str
    walks: int
    complete: int
    frames: int
    steps: int
    reads: int
    lines: int
    lookups: int
    table_bytes: int


def lookup_bytes(table: RuleTable, row: int) -> int:
    """Bytes that finding the *row*-th row (0: none) reads: a binary search of the format's index, then the entry.

    ORC: the entry.  SFrame: the function's entry, and its rows from the first to the one wanted.  DWARF: the FDE
    and its CIE, whole.  SFrame's rows and DWARF's records are counted at their average size in the image."""
    indexed = len(table.rows) if table.kind == Format.ORC else len(table.units)
    search = PLACE * indexed.bit_length()
    if not row:
        return search
    if table.kind == Format.ORC:
        return search + ENTRY_SIZE
    if table.kind == Format.DWARF:
        record = table.size // indexed if indexed else 0
        return search + 2 * record
    return search + _sframe_entry(table, row)


def _sframe_entry(table: RuleTable, row: int) -> int:
    entry = FDE_SIZE[max(VERSIONS)]
    rows = table.size - HEADER_SIZE - len(table.units) * entry
    start = max((unit for unit in table.units if unit <= table.rows[row - 1].start), default=table.rows[0].start)
    before = sum(start <= other.start <= table.rows[row - 1].start for other in table.rows[:row])
    return entry + before * max(rows, 0) // max(len(table.rows), 1)


class CountingEngine(ReferenceEngine):
    """Walks at every stop of the plan and counts what the walks read; nothing is judged."""

    def __init__(self, subject: Subject, plan: Plan) -> None:
        super().__init__(subject.image, subject.rewrite, plan)
        self.sums = [[0] * 8 for _ in plan.unwinders]
        self._looked: list[tuple[int, int]] = []
        self._bytes: dict[tuple[int, int], int] = {}
        object.__setattr__(self.reader.view, "rule", self._rule)

    def _rule(self, table: int, pc: int) -> int:
        row = self.reader.code.rule(table, pc)
        self._looked.append((table, row))
        return row

    def _stop(self, mode: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures, place: int | None = None) -> None:
        reader = self.reader
        for sums, unwinder in zip(self.sums, self.plan.unwinders, strict=True):
            reader.log, self._looked = [], []
            trace = walk(unwinder, mode, regs.pc, regs, reader)
            frames = len(trace.addresses)
            read = [address for address, _ in reader.log]
            lines = {line for address in read for line in (address // LINE, (address + 7) // LINE)}
            touched = sum(map(self._touched, self._looked))
            found = (
                1,
                trace.ending is Ending.END,
                frames,
                frames + 1,
                len(read),
                len(lines),
                len(self._looked),
                touched,
            )
            for index, amount in enumerate(found):
                sums[index] += amount
        reader.log = None

    def _touched(self, lookup: tuple[int, int]) -> int:
        if lookup not in self._bytes:
            table = self.reader.code.tables.get(lookup[0])
            self._bytes[lookup] = lookup_bytes(table, lookup[1]) if table else 0
        return self._bytes[lookup]

    def _check(self, outcome: Outcome) -> None:
        """Nothing was judged, so there are no verdicts to sum."""


def unwind_costs(job: Job, unwinders: Sequence[str]) -> list[UnwindRow]:
    """What each of *unwinders* (none: all that can be asked there) reads on the job's program, whose modes say where.

    InputError where the pair does not exist."""
    if reason := unsupported(job):
        raise InputError(f"{job.title}: {reason}")
    subject = prepare(job, registry.proposal(job.proposal), workload_by_name(job.workload))
    chosen = [u for u in _asked(unwinders) if u.unsupported(job.arch, subject.rewrite is not None) is None]
    engine = CountingEngine(subject, Plan(tuple(chosen), job.modes, job.limits, 0))
    check_outcome(subject, job, engine.run().outcome)
    key = (job.arch, job.workload, job.proposal)
    return [UnwindRow(*key, u.name, *sums) for u, sums in zip(chosen, engine.sums, strict=True)]


def _asked(names: Sequence[str]) -> list[Unwinder]:
    found = [registry.unwinder(name) for name in names] if names else list(registry.all_unwinders())
    return [unwinder for unwinder in found if not unwinder.oracle]
