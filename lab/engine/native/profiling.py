"""The profiler as native hooks: one execution's counts per instruction, without truth or unwinders."""

from __future__ import annotations

import ctypes
import time
from functools import cache

import numpy as np

from lab.engine.native.cells import KNOWN
from lab.engine.native.classify import classify
from lab.engine.native.compiling import Compiled, compiled
from lab.engine.native.core.profile import MIX, profile_access, profile_hook
from lab.engine.native.event_codes import Event
from lab.engine.native.events import CALLBACK
from lab.engine.native.generate import access_text, hook_text
from lab.engine.native.profile_cells import EDGE_WORDS, RECORD_WORDS, F, Record
from lab.engine.native.tables import check_width
from lab.machine.hooks import WRITE_KIND
from lab.machine.machine import End, Machine, Outcome
from lab.unwind.api import MASK64

FIRST_EDGES = 1 << 12
"""Entries of the table of edges at first: a power of two."""


@cache
def compiled_profiler() -> tuple[Compiled, Compiled]:
    """The CODE hook and the access hook of the profiler."""
    return (
        compiled(hook_text("the profiling hook", profile_hook)),
        compiled(access_text("the profiling hook for data accesses", profile_access)),
    )


class NativeProfiler:
    """Profiles one execution of *machine*; what the properties say is valid after ``run``.

    ``changed``: [start, end) of what the guest wrote where it can also execute; counts are by address, so they
    may be of more than one instruction there.  TooWideError where the code does not fit the tables."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        executable = [m for m in machine.mappings if m.executable]
        self._low = min(m.start for m in executable)
        size = max(m.end for m in executable) - self._low
        check_width(machine.image, size)
        self._records = np.zeros((size + 1, RECORD_WORDS), np.uint64)
        self._seen: set[int] = set()
        self._edges = np.zeros((FIRST_EDGES, EDGE_WORDS), np.uint64)
        self._callback = CALLBACK(self._on_event)
        self.changed: list[tuple[int, int]] = []
        block = self._block = np.zeros(len(F), np.uint64)
        block[F.EVENT] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        block[F.CODE_LOW] = self._low
        if machine.changeable:
            start = min(low for low, _ in machine.changeable)
            block[F.CHANGEABLE] = start
            block[F.CHANGEABLE_SIZE] = max(high for _, high in machine.changeable) - start
        block[F.RECORDS], block[F.WRITE_KIND] = self._records.ctypes.data, WRITE_KIND
        block[F.PREVIOUS], block[F.LIMIT] = MASK64, machine.limits.instructions
        self._give_edges()

    def run(self) -> Outcome:
        """Execute."""
        self._deadline = time.monotonic() + self._machine.limits.seconds
        code, access = compiled_profiler()
        state = int(self._block.ctypes.data)
        return self._machine.execute_native(code.address, state, access.address, state)

    @property
    def instructions(self) -> int:
        """Retired instructions."""
        return int(self._block[F.INSTRUCTIONS])

    @property
    def last(self) -> int:
        """The pc of the last one."""
        return int(self._block[F.PREVIOUS])

    def places(self) -> dict[int, tuple[int, int, int, int, int]]:
        """pc of each executed instruction -> (executions, loads, stores, bytes loaded, bytes stored)."""
        seen = sorted(self._seen)  # the rest of the records was never touched, and should not be now
        rows = self._records[np.array(seen, np.int64) - self._low, Record.EXECUTIONS :].tolist()
        return {pc: tuple(row) for pc, row in zip(seen, rows, strict=True) if row[0]}

    def edges(self) -> dict[tuple[int, int], int]:
        """(pc, next pc) -> times, where the next instruction was not the one that follows in memory."""
        return {
            (self._low + ((key - 1) >> 32), self._low + ((key - 1) & 0xFFFF_FFFF)): count
            for key, count in self._edges.tolist()
            if key
        }

    def _give_edges(self) -> None:
        self._block[F.EDGES], self._block[F.EDGE_MASK] = self._edges.ctypes.data, len(self._edges) - 1

    def _on_event(self, event: int, pc: int, size: int) -> int:
        try:
            if event == Event.DECODE:
                self._decode(pc)
            elif event == Event.GROW_NODES:
                self._grow()
            elif event == Event.CODE_WRITTEN:
                self._written(pc, pc + size)
            elif event == Event.BUDGET:
                self._stop(f"{self._machine.limits.instructions} instructions")
            elif time.monotonic() > self._deadline:
                self._stop(f"{self._machine.limits.seconds:g} s")
        except BaseException as error:
            self._block[F.STOP] = 1
            self._machine.abort(error)
        return 0

    def _stop(self, detail: str) -> None:
        self._block[F.STOP] = 1
        self._machine.stop(End.BUDGET, None, detail)

    def _decode(self, pc: int) -> None:
        found = classify(self._machine.arch, self._machine.code_at(pc), pc)
        self._seen.add(pc)
        self._records[pc - self._low, Record.CODE] = KNOWN | found.flags | found.size << 8

    def _written(self, start: int, end: int) -> None:
        self.changed.append((start, end))
        self._machine.forget_code(start, end)
        first = max(0, start - self._machine.arch.max_insn + 1 - self._low)
        self._records[first : end - self._low, Record.CODE] = 0

    def _grow(self) -> None:
        """Twice the entries, by the compiled code's own hash."""
        old = [(key, count) for key, count in self._edges.tolist() if key]
        self._edges = np.zeros((2 * len(self._edges), EDGE_WORDS), np.uint64)
        mask = len(self._edges) - 1
        for key, count in old:
            index = (key * MIX & MASK64) >> 40 & mask
            while self._edges[index, 0]:
                index = (index + 1) & mask
            self._edges[index] = key, count
        self._give_edges()
