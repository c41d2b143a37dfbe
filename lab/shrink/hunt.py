"""Looks for one stop in an execution, in the reference engine, and says what one unwinder makes of it."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from lab.arch.decode import decode
from lab.engine.plan import AFTER_CALL, Injection, Plan, covered_by
from lab.engine.reference import ReferenceEngine
from lab.engine.switches import Seen
from lab.errors import LabError
from lab.features import DynamicFeatures
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import Limits, Outcome
from lab.unwind.api import Regs, Unwinder
from lab.unwind.host import Ending, Trace, walk, walk_ignoring
from lab.unwind.watchdog import Watchdog
from lab.verdict import judge

WRONG: Final = frozenset({"missing", "extra", "crash", "refused"})


@dataclass(frozen=True)
class Target:
    """What must stay the same of a stop while the program around it shrinks.

    ``insn``: the mnemonic at the stop.  ``relation``: how the report differs from the truth: ``ends early``, ``skips``,
    ``adds``, ``wrong address`` or ``none`` (refused, crash).
    """

    verdict: str
    reason: str
    function: str
    insn: str
    offset_class: str
    lr_live: bool | None
    record_complete: bool | None
    relation: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """One stop: what the unwinder said and what was true, innermost first; ``hit``: the stop's number at its pc;
    ``instructions`` and ``looks``: executed, and stops looked at, up to it; ``ended``: executed to the end."""

    target: Target
    location: str
    hit: int
    truth: tuple[str, ...]
    reported: tuple[str, ...]
    instructions: int
    looks: int
    ended: int = 0


@dataclass(frozen=True)
class Hunt:
    """What is looked for: the first stop that fits *target*; or, without one, the *hit*-th at *location*, or the stop
    numbered *stop* (from 0, of its mode).  ``looks``: stops that are looked at at most (0: all)."""

    unwinder: Unwinder
    mode: str
    limits: Limits
    injection: Injection | None = None
    target: Target | None = None
    location: str = ""
    hit: int = 1
    stop: int | None = None
    looks: int = 0


class HopelessError(LabError):
    """More stops have been looked at than is worth while: a program that has lost its way."""


class _EnoughError(Exception):
    """It has been found, and what comes after it does not matter."""


class Hunter(ReferenceEngine):
    """The reference engine, whose stops are looked at until the one that is looked for."""

    def __init__(self, image: Image, rewrite: RewriteMap | None, hunt: Hunt) -> None:
        plan = Plan((hunt.unwinder,), (hunt.mode,), hunt.limits, 0, injection=hunt.injection)
        super().__init__(image, rewrite, plan)
        self.hunt = hunt
        self.found: Found | None = None
        self._number = -1
        self._hits: dict[int, int] = {}
        self.looked = 0
        self._enough = False

    def seek(self) -> tuple[Found | None, Outcome]:
        """The stop, if there is one, and how the program ended."""
        with Watchdog(self.reader):
            outcome = self.machine.execute(self._instruction)
        found = self.found
        return None if found is None else replace(found, ended=self._instructions), outcome

    def first(self) -> Found | None:
        """The stop, if there is one; what comes after it is not run."""
        self._enough = True
        with Watchdog(self.reader), contextlib.suppress(_EnoughError):
            self.machine.execute(self._instruction)
        return self.found

    def _stop(self, mode: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures, place: int | None = None) -> None:
        self._number += 1
        if self.found is not None:
            return
        pc = regs.pc if place is None else place
        self._hits[pc] = self._hits.get(pc, 0) + 1
        if self._may_be(pc, mode):
            self.looked += 1
            if self.hunt.looks and self.looked > self.hunt.looks:
                raise HopelessError(f"{self.image.path}: not found at {self.hunt.looks} stops")
            found = self._look(mode, pc, regs, seen, dynamic)
            if self.hunt.target is None or self.hunt.target == found.target:
                self.found = found
                if self._enough:
                    raise _EnoughError

    def _may_be(self, pc: int, mode: int) -> bool:
        """Whether the stop at hand can be the one, as far as its place tells."""
        hunt = self.hunt
        if hunt.stop is not None:
            return self._number == hunt.stop
        static = self.features.at_stop(pc, after_call=mode in AFTER_CALL)
        if hunt.target is None:
            return static.location == hunt.location and self._hits[pc] == hunt.hit
        wanted = hunt.target
        return static.function == wanted.function and static.offset_class == wanted.offset_class

    def _look(self, mode: int, pc: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures) -> Found:
        unwinder, truth, reader = self.hunt.unwinder, seen.truth, self.reader
        trace = Trace(Ending.END, truth) if unwinder.oracle else walk(unwinder, mode, regs.pc, regs, reader)
        judged = judge(
            trace,
            truth,
            go_on=lambda: walk_ignoring(unwinder, reader, trace),
            covered=covered_by(self.coverage, mode, regs.pc, truth, seen.inside),
        )
        static = self.features.at_stop(pc, after_call=mode in AFTER_CALL)
        verdict = judged.verdict.value
        target = Target(
            verdict=verdict,
            reason=judged.reason,
            function=static.function,
            insn=self._mnemonic(pc),
            offset_class=static.offset_class,
            lr_live=static.lr_live,
            record_complete=dynamic.record_complete,
            relation=relation(truth, trace.addresses) if trace.ending is Ending.END else "none",
        )
        names = self.image.locate
        return Found(
            target,
            static.location,
            self._hits[pc],
            tuple(map(names, truth)),
            tuple(map(names, trace.addresses)),
            self._instructions,
            self.looked,
        )

    def _mnemonic(self, pc: int) -> str:
        segment = next(s for s in self.image.segments if s.address <= pc < s.end)
        return next(decode(self.image.arch, self.image.read(pc, min(16, segment.end - pc)), pc)).mnemonic


def relation(truth: tuple[int, ...], reported: tuple[int, ...]) -> str:
    """How *reported* differs from *truth*; see Target."""
    if reported == truth:
        return "none"
    if reported == truth[: len(reported)]:
        return "ends early"
    if _within(reported, truth):
        return "skips"
    return "adds" if _within(truth, reported) else "wrong address"


def _within(part: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether *part* is a subsequence of *whole*."""
    rest = iter(whole)
    return all(any(address == other for other in rest) for address in part)
