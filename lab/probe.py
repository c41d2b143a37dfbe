"""Runs to one stop and asks every unwinder there, with each read logged."""

from __future__ import annotations

from dataclasses import dataclass

from lab.arch.decode import Kind
from lab.engine.native.cells import Changed, S
from lab.engine.native.engine import NativeEngine
from lab.engine.native.tables import TooWideError
from lab.engine.plan import Plan, covered_by, make_reader, shadow_pointer
from lab.engine.reference import ReferenceEngine
from lab.engine.switches import Seen
from lab.features import DynamicFeatures
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import Outcome
from lab.unwind.api import BOUNDARY, CALL, MODES, Regs, Unwinder
from lab.unwind.host import Ending, Trace, walk, walk_ignoring
from lab.verdict import Judgement, judge

LOGGED = 64
"""Reads shown of one walk."""


@dataclass(frozen=True)
class Stop:
    """The stop that was looked for: what the engines know of it."""

    mode: int
    regs: Regs
    truth: tuple[int, ...]
    dynamic: DynamicFeatures
    registers: dict[str, int]
    inside: tuple[int, ...] | None = None


class _Found(Exception):  # noqa: N818  not an error: it ends the execution at the stop looked for
    pass


class PlainProbe(ReferenceEngine):
    """The reference engine, run to the *hit*-th stop at *pc* in one mode; with *stop*, to that stop, counted from 0 as
    a kept stack's (lab.engine.tally)."""

    def __init__(
        self, image: Image, rewrite: RewriteMap | None, plan: Plan, pc: int, hit: int, *, stop: int | None = None
    ) -> None:
        super().__init__(image, rewrite, plan)
        self.pc, self.hit, self.seen = pc, hit, 0
        self.found: Stop | None = None
        self._wanted, self._number = stop, -1

    def _stop(self, mode: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures, place: int | None = None) -> None:
        self._number += 1
        if self.pc != (regs.pc if place is None else place):
            return
        self.seen += 1
        if self.seen == self.hit if self._wanted is None else self._number == self._wanted:
            self.found = Stop(mode, regs, seen.truth, dynamic, self.machine.registers(), seen.inside)
            raise _Found

    def seek(self) -> Outcome | None:
        """Run; None once the stop has been found, else how the program ended without it."""
        try:
            return self.machine.execute(self._instruction)
        except _Found:
            return None


class NativeProbe(NativeEngine):
    """The native engine, run there.  The place looked for is never left decoded, so Python is asked each time."""

    def __init__(
        self, image: Image, rewrite: RewriteMap | None, plan: Plan, pc: int, hit: int, *, stop: int | None = None
    ) -> None:
        super().__init__(image, rewrite, Plan((), plan.modes, plan.limits, 0, plan.model, pokes=plan.pokes))
        self.reader = make_reader(self.machine, plan.tables)
        self.pc, self.hit, self.seen = pc, hit, 0
        self.found: Stop | None = None
        self._wanted = stop
        self._mode = MODES[plan.modes[0]]

    def _decode(self, pc: int, b: int) -> None:
        super()._decode(pc, b)
        insn = self.machine.insn_at(pc)
        leads = pc == self.pc if self._mode == BOUNDARY else insn.kind is Kind.CALL and insn.end == self.pc
        if leads:
            self.state[S.AUDIT] = 1
            self.state[S.CHANGED] |= Changed.UNSURE
            self._watched = pc

    def _audit(self, _a: int, _b: int) -> None:
        regs, truth = self.regs(), self.activations()
        if regs.pc != self.pc:
            return
        self.places.forget(self._watched, self._watched + 1)
        self.seen += 1
        number = self.instructions - 1 if self._mode == BOUNDARY else self.state[S.CALLS]
        if self.seen == self.hit if self._wanted is None else number == self._wanted:
            innermost, load = self.stacks.innermost(), self.machine.memory.load
            registers = (regs.sp, regs.fp, shadow_pointer(self.machine, regs.ssp))
            seen = Seen.of(truth)
            dynamic = self.features.dynamic(
                *(regs.pc, registers, innermost, load),
                after_call=self._mode == CALL,
                interrupted=seen.inside is not None,
            )
            self._lay_overlay(regs)
            self.found = Stop(self._mode, regs, seen.truth, dynamic, self.machine.registers(), seen.inside)
            raise _Found

    def seek(self) -> Outcome | None:
        """Run; None once the stop has been found, else how the program ended without it."""
        try:
            return self.run().outcome
        except _Found:
            return None


Probe = NativeProbe | PlainProbe


def probe(image: Image, rewrite: RewriteMap | None, plan: Plan, pc: int, hit: int, *, stop: int | None = None) -> Probe:
    """A probe that has not run yet, native where the image's code fits the tables, nothing interrupts it and no
    unwinder wants more than what every machine has."""
    if plan.interrupts is not None or any(unwinder.hardware for unwinder in plan.unwinders):
        return PlainProbe(image, rewrite, plan, pc, hit, stop=stop)
    try:
        return NativeProbe(image, rewrite, plan, pc, hit, stop=stop)
    except TooWideError:
        return PlainProbe(image, rewrite, plan, pc, hit, stop=stop)


def ask(at: Probe, unwinder: Unwinder) -> tuple[Trace, Judgement, list[tuple[int, int]]]:
    """Walk from the stop found, every read logged: (trace, judgement, (address, value) of the first reads)."""
    assert at.found is not None
    mode, regs, truth = at.found.mode, at.found.regs, at.found.truth
    at.reader.log = []
    trace = Trace(Ending.END, truth) if unwinder.oracle else walk(unwinder, mode, regs.pc, regs, at.reader)
    reads, at.reader.log = at.reader.log[:LOGGED], None
    judged = judge(
        trace,
        truth,
        go_on=lambda: walk_ignoring(unwinder, at.reader, trace),
        covered=covered_by(at.coverage, mode, regs.pc, truth, at.found.inside),
    )
    return trace, judged, reads
