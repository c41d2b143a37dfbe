"""One unmutated image and what is known of its run: the ground on which mutants are compared."""

from __future__ import annotations

import bisect
from collections import defaultdict
from dataclasses import replace
from functools import cached_property

from lab import registry
from lab.arch.decode import Insn, decode
from lab.engine.plan import Plan
from lab.engine.run import NATIVE
from lab.errors import EngineError
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import Limits, Machine
from lab.metadata.rules import Format, RuleTable
from lab.metadata.tables import read_tables
from lab.mutation.stops import Run, listed
from lab.selftest.cases import LIMITS, Case
from lab.unwind.api import Unwinder

MODES = ("boundary", "call")
"""The stop modes that are compared: they need no exception taken, so the mutated run makes the same stops."""
_SLACK = 10_000
"""Instructions that a mutant may run longer than the original before it is stopped: it has not survived then."""


class Ground:
    """The image of *case*, judged by the unwinders called *names* (those that apply to it) in *modes*."""

    def __init__(
        self, case: Case, names: tuple[str, ...], modes: tuple[str, ...] = MODES, engine: str = NATIVE
    ) -> None:
        self.case, self.modes, self.engine = case, modes, engine
        self.subject = case.subject()
        self.image: Image = self.subject.image
        self.rewrite: RewriteMap | None = self.subject.rewrite
        self.arch = self.image.arch
        reasons = [(u, u.unsupported(case.arch, self.rewrite is not None)) for u in map(registry.unwinder, names)]
        self.unwinders: tuple[Unwinder, ...] = tuple(u for u, reason in reasons if reason is None)
        self.unsupported = tuple((u.name, reason) for u, reason in reasons if reason is not None)

    @property
    def plan(self) -> Plan:
        """What the unmutated run measures."""
        return Plan(self.unwinders, self.modes, LIMITS, 0)

    @property
    def limits(self) -> Limits:
        """Of a mutated run."""
        return replace(LIMITS, instructions=self.baseline.instructions + _SLACK)

    @cached_property
    def baseline(self) -> Run:
        """The unmutated run; EngineError where the program's own result is wrong."""
        if wrong := self.case.wrong_result(self.subject, self.trace.outcome):
            raise EngineError(*wrong)
        found = listed(self.image, self.rewrite, self.plan, self.engine)
        if (found.result, found.instructions) != (self.trace.outcome.result, len(self.trace.pcs)):
            raise EngineError(f"{self.image.path}: two executions differ; this is a fault of the lab")
        return found

    @cached_property
    def tables(self) -> dict[int, RuleTable]:
        """The image's rule table of each format."""
        return read_tables(self.image, list(Format))

    @cached_property
    def executed(self) -> frozenset[int]:
        """Addresses of the instructions that were executed."""
        return frozenset(self.trace.pcs)

    @cached_property
    def trace(self) -> Trace:
        """What the unmutated run executed and which memory it touched, in order."""
        return Trace(self.image, self.rewrite)

    @cached_property
    def instructions(self) -> tuple[Insn, ...]:
        """The executed instructions as the image holds them, by address."""
        size = self.arch.max_insn
        return tuple(next(decode(self.arch, self._code(pc, size), pc)) for pc in sorted(self.executed))

    def _code(self, pc: int, size: int) -> bytes:
        home = next(s for s in self.image.segments if s.address <= pc < s.end)
        return home.data[pc - home.address : pc - home.address + size]

    @cached_property
    def functions(self) -> dict[str, tuple[Insn, ...]]:
        """The executed instructions by function, in the order of their addresses; none of code without a name."""
        found: dict[str, list[Insn]] = defaultdict(list)
        for insn in self.instructions:
            function = self.image.function_at(insn.address)
            if function is not None:
                found[function.name].append(insn)
        return {name: tuple(insns) for name, insns in found.items()}

    def function(self, address: int) -> str:
        """The name of the function that holds *address*: the cluster a mutant there belongs to."""
        found = self.image.function_at(address)
        if found is not None:
            return found.name
        pieces = self.rewrite.inserted if self.rewrite else ()
        return next((p.function for p in pieces if p.start <= address < p.end and p.function), f"{address:#x}")


class Trace:
    """One plain run of an image.  ``pcs[n]`` is the address of instruction number n (from 0)."""

    def __init__(self, image: Image, rewrite: RewriteMap | None) -> None:
        machine = Machine(image, rewrite.layout if rewrite else None, LIMITS)
        self.pcs: list[int] = []
        self._words: dict[int, list[int]] = defaultdict(list)
        self.outcome = machine.execute(self.pcs.append, self._access)

    def _access(self, _is_write: bool, address: int, size: int) -> None:
        number = len(self.pcs) - 1
        for word in range(address >> 3, (address + size - 1 >> 3) + 1):
            self._words[word].append(number)

    def next_access(self, address: int, after: int) -> int:
        """The first instruction, number *after* or later, that touches a byte of [address, address + 8); the number of
        all instructions where none does."""
        found = len(self.pcs)
        for word in {address >> 3, address + 7 >> 3}:
            numbers = self._words.get(word, [])
            at = bisect.bisect_left(numbers, after)
            if at < len(numbers):
                found = min(found, numbers[at])
        return found
