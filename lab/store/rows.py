"""What one run found, as plain frozen rows.  The runner fills them, the store keeps them, reports read them.

Addresses are unsigned 64-bit; counts are exact.  Keys shared by most rows: ``arch``, ``compiler``,
``workload``, ``proposal``, ``unwinder``, ``mode`` name the cell.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, cast

from lab.errors import EngineError
from lab.experiment import Experiment
from lab.store.cost_rows import CostRow

VERDICTS = ("exact", "refused", "missing", "extra", "crash")
"""The five verdicts, in the order tables print them."""
DOUBTS = ("needless", "justified", "undetermined")
"""What a refusal turned out to be."""

CellKey = tuple[str, str, str, str, str, str]
"""(arch, compiler, workload, proposal, unwinder, mode)."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One (architecture, compiler, workload, proposal, unwinder, mode): counts over stops.

    ``pcs`` and ``functions`` are the distinct ones stopped at; ``worst[verdict]`` says at how many of them
    that verdict occurred at least once.  ``by_region`` splits ``verdicts`` by whose code the pc is in.
    ``unsupported`` is the reason why the pair was not run; such a cell has no stops.
    EngineError if the counts contradict each other.
    """

    arch: str
    compiler: str
    workload: str
    proposal: str
    unwinder: str
    mode: str
    engine: str
    stops: int
    pcs: int
    functions: int
    instructions: int
    wall_s: float
    verdicts: dict[str, int]
    doubt: dict[str, int]
    covers: int
    by_region: dict[str, dict[str, int]]
    worst: dict[str, dict[str, int]]
    unsupported: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def key(self) -> CellKey:
        """What names this cell."""
        return (self.arch, self.compiler, self.workload, self.proposal, self.unwinder, self.mode)

    def __post_init__(self) -> None:
        where = "cell " + "/".join(self.key)
        if set(self.verdicts) != set(VERDICTS):
            raise EngineError(f"{where}: verdicts are {sorted(self.verdicts)}, not {sorted(VERDICTS)}")
        if sum(self.verdicts.values()) != self.stops:
            raise EngineError(f"{where}: verdicts sum to {sum(self.verdicts.values())}, not to {self.stops} stops")
        if min([*self.verdicts.values(), self.covers, self.pcs, self.functions, self.instructions]) < 0:
            raise EngineError(f"{where}: a count is negative")
        if set(self.doubt) - set(DOUBTS) or sum(self.doubt.values()) > self.verdicts["refused"]:
            raise EngineError(f"{where}: kinds of doubt {self.doubt} do not fit {self.verdicts['refused']} refusals")
        if self.covers > self.stops:
            raise EngineError(f"{where}: covers at {self.covers} of {self.stops} stops")
        for verdict in VERDICTS if self.by_region else ():
            total = sum(counts.get(verdict, 0) for counts in self.by_region.values())
            if total != self.verdicts[verdict]:
                raise EngineError(f"{where}: regions sum to {total} {verdict}, not to {self.verdicts[verdict]}")
        if self.unsupported is not None and self.stops:
            raise EngineError(f"{where}: unsupported ({self.unsupported}), yet it has {self.stops} stops")


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictRow:
    """How often one (pc, unwinder) got one verdict with one set of features."""

    arch: str
    compiler: str
    workload: str
    proposal: str
    unwinder: str
    mode: str
    pc: int
    location: str
    function: str
    region: str
    verdict: str
    reason: str
    doubt: str
    covers: bool
    stops: int
    offset_class: str
    insn_class: str
    lr_live: bool | None
    sp_delta: int | None
    record_complete: bool | None
    shadow_pushed: bool | None
    row_kind: str
    fp_matches_row: bool | None
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class StackRow:
    """One differing stack, kept whole: the ``stop``-th stop of the execution, innermost address first."""

    arch: str
    compiler: str
    workload: str
    proposal: str
    unwinder: str
    mode: str
    pc: int
    location: str
    verdict: str
    reason: str
    stop: int
    truth: list[int]
    reported: list[int]
    truth_text: list[str]
    reported_text: list[str]
    registers: dict[str, int]
    words_at: int = 0
    """Where ``words`` lie: the stack pointer that the unwind began with."""
    words: list[int] = field(default_factory=list)
    """The 64-bit words of the guest's memory from there upwards, some tens of them; none in an older run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeRow:
    """The instruction at a pc that some stop is counted at, as the image's file has it (code patched at run time is
    not).  ``raw``: its bytes in hexadecimal; ``source``: ``file.c:41``, "" where no debug information tells."""

    arch: str
    compiler: str
    workload: str
    proposal: str
    pc: int
    raw: str
    text: str
    source: str


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One image that ran.  ``left_out`` lists {function, address, reason} of what the rewriter did not touch."""

    arch: str
    compiler: str
    workload: str
    proposal: str
    sha256: str
    build_id: str
    flags: list[str]
    result: str
    instrumented: int | None
    functions: int | None
    left_out: list[dict[str, Any]]


@dataclass(frozen=True)
class RunResult:
    """Everything one experiment found.  ``compilers`` lists {name, version}.

    EngineError unless the verdict rows of every cell sum to its stops.
    """

    experiment: Experiment
    cells: list[Cell]
    verdicts: list[VerdictRow]
    stacks: list[StackRow]
    costs: list[CostRow]
    images: list[ImageRow]
    compilers: list[dict[str, str]]
    notes: list[str] = field(default_factory=list)
    code: list[CodeRow] = field(default_factory=list)
    """Empty in a run that an older unwindlab stored."""

    def __post_init__(self) -> None:
        stops: Counter[CellKey] = Counter()
        for row in self.verdicts:
            stops[cell_key(row)] += row.stops
        for cell in self.cells:
            if stops.pop(cell.key, 0) != cell.stops:
                raise EngineError(f"the verdict rows of cell {'/'.join(cell.key)} do not sum to its stops")
        for key in stops:
            raise EngineError(f"there are verdict rows of {'/'.join(key)}, but no such cell (or it is there twice)")


def cell_key(row: Cell | VerdictRow | StackRow) -> CellKey:
    """The cell a row belongs to."""
    return (row.arch, row.compiler, row.workload, row.proposal, row.unwinder, row.mode)


def sort_key(row: object) -> tuple[Any, ...]:
    """An order over rows of one type that depends on nothing but their values (None sorts first)."""
    values = _reader(cast(Hashable, type(row)))(row)
    return tuple((value is not None, value if isinstance(value, int | str) else str(value)) for value in values)


@functools.cache
def _reader(row_type: Hashable) -> Callable[[object], tuple[Any, ...]]:
    """All fields of a row in one call: rows come by the million."""
    return operator.attrgetter(*(item.name for item in dataclasses.fields(cast(Any, row_type))))
