"""Control flow inside one function, from decoded instructions: edges, exits, forward states.

An indirect jump is either a jump table or a tail call, and the bytes do not say which.  ``solve`` asks
the caller's state: a jump taken where the state says "the frame is still up" is a table, and its targets
are the blocks of the function that nothing else reaches.  Everything else is a tail call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from lab.arch import Arch
from lab.arch.decode import ENDS_FLOW, Insn, Kind, decode
from lab.images.image import Function, Image

S = TypeVar("S")

#: Fillers between functions and blocks: unreached ones are no jump-table target.
_PADDING = frozenset({"nop", "nopw", "int3", "udf", "brk", "ud2"})


@dataclass(frozen=True)
class Code:
    """One function, decoded, data islands left out.  Instructions are named by their index in ``insns``."""

    arch: Arch
    function: Function
    insns: tuple[Insn, ...]

    @cached_property
    def index(self) -> dict[int, int]:
        """Address -> index."""
        return {insn.address: i for i, insn in enumerate(self.insns)}

    @cached_property
    def calls(self) -> tuple[int, ...]:
        """Indices of the call instructions."""
        return tuple(i for i, insn in enumerate(self.insns) if insn.kind is Kind.CALL)


def decode_function(image: Image, function: Function) -> Code:
    """Decode [start, end) of *function* without the image's data islands."""
    insns: list[Insn] = []
    for start, end in code_pieces(image, function.start, function.end):
        insns.extend(decode(image.arch, image.read(start, end - start), start))
    return Code(image.arch, function, tuple(insns))


def code_pieces(image: Image, start: int, end: int) -> list[tuple[int, int]]:
    """[start, end) minus the data islands, as [start, end) pieces in order."""
    pieces = []
    for low, high in image.data_ranges:
        if high <= start or low >= end:
            continue
        if low > start:
            pieces.append((start, low))
        start = max(start, high)
    if start < end:
        pieces.append((start, end))
    return pieces


@dataclass(frozen=True)
class Graph:
    """Direct edges of one function.  ``noreturn`` holds entry addresses whose calls never come back."""

    code: Code
    noreturn: frozenset[int] = frozenset()

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """Per instruction the indices control may go to next; indirect jumps have none here."""
        return tuple(tuple(self._next(i)) for i in range(len(self.code.insns)))

    def _next(self, i: int) -> Iterable[int]:
        insn = self.code.insns[i]
        following = self.code.index.get(insn.end)
        if insn.kind not in ENDS_FLOW and following is not None and not self.stops(insn):
            yield following
        if insn.kind in {Kind.JUMP, Kind.BRANCH} and insn.target is not None:
            inside = self.code.index.get(insn.target)
            if (inside is not None and inside != following) or (inside is not None and insn.kind is Kind.JUMP):
                yield inside

    def stops(self, insn: Insn) -> bool:
        """Whether *insn* calls a function that never returns."""
        return insn.kind is Kind.CALL and insn.target in self.noreturn

    def leaves(self, i: int) -> bool:
        """Whether instruction *i* may leave the function for good: return, or a direct jump elsewhere."""
        insn = self.code.insns[i]
        if insn.kind is Kind.RETURN:
            return True
        return insn.kind in {Kind.JUMP, Kind.BRANCH} and insn.target not in self.code.index


@dataclass(frozen=True)
class Solution(Generic[S]):
    """``before[i]`` is the state before instruction *i* (None: not reached); ``tables`` the indices of
    indirect jumps taken for jump tables, whose targets are ``leaders``."""

    before: tuple[S | None, ...]
    tables: frozenset[int]
    leaders: tuple[int, ...]

    def tail_jump(self, code: Code, i: int) -> bool:
        """Whether instruction *i* is an indirect tail call."""
        return code.insns[i].kind is Kind.INDIRECT and i not in self.tables


def solve(
    graph: Graph,
    start: S,
    transfer: Callable[[int, S], S],
    join: Callable[[S, S], S],
    frame_up: Callable[[S], bool],
) -> Solution[S]:
    """Propagate *start* from the function's entry to a fixed point.  ``join`` must be monotone (a conflict
    becomes "unknown" and stays so).  See the module's text for ``frame_up``."""
    insns = graph.code.insns
    before: list[S | None] = [None] * len(insns)
    tables: frozenset[int] = frozenset()
    leaders: list[int] = []

    def flow(pending: list[int]) -> None:
        while pending:
            i = pending.pop()
            state = before[i]
            assert state is not None
            after = transfer(i, state)
            for succ in leaders if i in tables else graph.successors[i]:
                old = before[succ]
                new = after if old is None else join(old, after)
                if new != old:
                    before[succ] = new
                    pending.append(succ)

    # A call into the function's own middle enters it there as at its start: what paths disagree on is unknown.
    called = {graph.code.index.get(insns[i].target or 0) for i in graph.code.calls}
    seeds = sorted({0} | {i for i in called if i is not None}) if insns else []
    for seed in seeds:
        before[seed] = start
    flow(seeds)
    while (leader := _first_orphan(graph.code, before)) is not None:
        reached = [i for i, insn in enumerate(insns) if insn.kind is Kind.INDIRECT and before[i] is not None]
        up = [i for i in reached if (state := before[i]) is not None and frame_up(state)]
        if not reached:
            break
        tables = tables | frozenset(up or reached)
        leaders.append(leader)
        flow(sorted(tables))
    return Solution(tuple(before), tables, tuple(leaders))


def _first_orphan(code: Code, before: list[S | None]) -> int | None:
    """The first instruction nobody reaches that is not padding."""
    for i, insn in enumerate(code.insns):
        if before[i] is None and insn.mnemonic not in _PADDING and insn.kind is not Kind.UNDECODED:
            return i
    return None


def noreturn_functions(codes: dict[int, Code]) -> frozenset[int]:
    """Entries of functions that cannot return, whatever they call: the greatest fixed point of "may return".

    A function is assumed to return until every path through it ends in a trap, a loop or a call to a function
    already known not to return; any reachable indirect jump may return.  So a recursive function that could
    only return through itself counts as returning: its exits are real code and keep their sites.
    """
    stopping: frozenset[int] = frozenset()
    while True:
        found = {e for e in codes if e not in stopping and not _may_return(Graph(codes[e], stopping), stopping)}
        if not found:
            return stopping
        stopping |= found


def _may_return(graph: Graph, stopping: frozenset[int]) -> bool:
    insns = graph.code.insns
    seen = {0}
    pending = [0] if insns else []
    while pending:
        i = pending.pop()
        insn = insns[i]
        if insn.kind in {Kind.INDIRECT, Kind.UNDECODED}:
            return True
        if graph.leaves(i) and (insn.kind is Kind.RETURN or insn.target not in stopping):
            return True
        if insn.kind not in ENDS_FLOW and insn.end not in graph.code.index and not graph.stops(insn):
            return True  # falls off the function's end into whatever follows
        for succ in graph.successors[i]:
            if succ not in seen:
                seen.add(succ)
                pending.append(succ)
    return not insns
