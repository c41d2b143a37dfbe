"""The reference engine: at every stop, every unwinder against the truth, in plain Python.

Truth comes from decoded control flow as the guest executes it.  ``boundary`` stops before every executed
instruction under the exception overlay; ``call`` stops directly after a call retires, with pc = ra, FP and
SP as at the call and the callee having pushed nothing.  Counts are checked: boundary stops are retired
instructions and call stops are retired calls, or the run is an error.
"""

from __future__ import annotations

import time

from lab.arch.decode import Kind
from lab.covers import Coverage
from lab.engine.hardware import HardwareShadow, faults_note
from lab.engine.plan import (
    RED_ZONE,
    Execution,
    Plan,
    check_modes,
    covered_by,
    make_reader,
    shadow_pointer,
    sp_left_text,
)
from lab.engine.tally import Recorder, Said
from lab.errors import EngineError, InputError
from lab.features import DynamicFeatures, Features
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.truth import CallEvent, TruthStack
from lab.unwind.api import BOUNDARY, CALL, Regs
from lab.unwind.host import Ending, Trace, walk, walk_ignoring
from lab.unwind.watchdog import Watchdog
from lab.verdict import Verdict, judge

NAME = "reference"
EXCEPTION_MODELS = ("kernel", "signal")


class ReferenceEngine:
    """One image, one execution, all unwinders of the plan."""

    def __init__(self, image: Image, rewrite: RewriteMap | None, plan: Plan) -> None:
        self.image, self.plan = image, plan
        self.machine = plan.machine(image, rewrite)
        self.machine.on_delivery(self._delivered)
        self.features = Features(image, rewrite)
        self.coverage = Coverage(image, rewrite)
        self.truth = TruthStack(self.coverage.body)
        self.reader = make_reader(self.machine, plan.tables)
        self.hardware = HardwareShadow(self.machine)
        self.recorder = Recorder(plan.stacks, self.machine.registers)
        arch = image.arch
        lr = arch.lr or arch.sp
        ssp = arch.shadow_register or arch.sp
        self._file = self.machine.register_file((arch.sp, arch.fp, lr, ssp))
        self._has_lr, self._has_ssp = arch.lr is not None, arch.shadow_register is not None
        self._boundary, self._call = "boundary" in plan.modes, "call" in plan.modes
        self._red_zone = RED_ZONE if plan.model == "signal" else 0
        self._instructions = 0

    def run(self) -> Execution:
        """Execute the image; EngineError where counts do not sum."""
        began = time.perf_counter()
        with Watchdog(self.reader):
            outcome = self.machine.execute(self._instruction)
        wall = time.perf_counter() - began
        self._check()
        engines = (NAME,) * len(self.plan.unwinders)
        tallies, stacks = self.recorder.tallies(), self.recorder.stacks()
        notes = faults_note(self.hardware.faults)
        return Execution(outcome, self._instructions, self.truth.calls, wall, tallies, stacks, engines, notes)

    def _check(self) -> None:
        expected = {BOUNDARY: self._instructions * self._boundary, CALL: self.truth.calls * self._call}
        for mode, count in expected.items():
            for index, unwinder in enumerate(self.plan.unwinders):
                counted = self.recorder.total(mode, index)
                if counted != count:
                    sums = f"{counted} verdicts for {count} stops"
                    raise EngineError(f"{self.image.path}: {unwinder.name}: {sums}; this is a fault of the lab")

    # -- every instruction --------------------------------------------------------------------------------

    def _instruction(self, pc: int) -> None:
        sp, fp, lr, ssp = self._file.read()
        self.hardware.before(pc)
        hssp = self.hardware.pointer
        regs = Regs(pc, sp, fp, lr if self._has_lr else 0, ssp if self._has_ssp else 0, hssp)
        if not self.machine.stack_low <= sp <= self.machine.stack_high:
            raise InputError(sp_left_text(self.image, sp, pc))
        truth = self.truth
        pending = truth.pending
        self._instructions += 1
        if pending is not None:
            self._confirm(pending, regs)
            if self._call:
                self._call_stop(pending, regs)
            self.hardware.push(pending.ra)
            regs = regs._replace(hssp=self.hardware.pointer)
        truth.before(pc, sp)
        if self._boundary:
            self._boundary_stop(regs)
        insn = self.machine.insn_at(pc)
        if insn.kind is Kind.CALL:
            truth.call(insn.end, sp, shadow_pointer(self.machine, regs.ssp))
        else:
            self.hardware.at(insn)

    def _delivered(self, ra: int, sp: int) -> None:
        """A signal's handler runs next, as if called: its activation ends when control arrives at *ra*."""
        ssp = self._file.read()[3] if self._has_ssp else 0
        self.truth.call(ra, sp, shadow_pointer(self.machine, ssp))

    def _confirm(self, event: CallEvent, regs: Regs) -> None:
        """What the processor stored as return address must be what decoding said: two sources that must agree."""
        pushed = self.machine.arch.call_pushes
        stored = self.machine.memory.load(event.sp_at_call - pushed) if pushed else regs.lr
        if stored != event.ra:
            got = "nothing" if stored is None else f"{stored:#x}"
            raise EngineError(
                f"{self.image.path}: call before {event.ra:#x} stored {got}; decoder and processor disagree"
            )

    def _boundary_stop(self, regs: Regs) -> None:
        reader = self.reader
        reader.exception(regs.sp - self._red_zone)
        self._stop(BOUNDARY, regs, self.truth.trace(), self._dynamic(regs))

    def _call_stop(self, event: CallEvent, regs: Regs) -> None:
        """The call has retired and its activation is not yet on the truth stack: the caller's view."""
        self.reader.no_exception()
        at = regs._replace(pc=event.ra, sp=event.sp_at_call)
        self._stop(CALL, at, self.truth.trace(), self._dynamic(at, after_call=True))

    def _stop(self, mode: int, regs: Regs, truth: tuple[int, ...], dynamic: DynamicFeatures) -> None:
        reader, covered = self.reader, covered_by(self.coverage, mode, regs.pc, truth)
        judgements = []
        for index, unwinder in enumerate(self.plan.unwinders):
            trace = Trace(Ending.END, truth) if unwinder.oracle else walk(unwinder, mode, regs.pc, regs, reader)
            judgement = judge(
                trace,
                truth,
                go_on=lambda u=unwinder, t=trace: walk_ignoring(u, reader, t),  # type: ignore[misc]
                covered=covered,
            )
            judgements.append(judgement)
            if judgement.verdict is not Verdict.EXACT:
                self.recorder.keep(mode, index, Said(regs, judgement, truth, trace.addresses))
        self.recorder.count(mode, regs.pc, dynamic, tuple(judgements))

    def _dynamic(self, regs: Regs, *, after_call: bool = False) -> DynamicFeatures:
        registers = (regs.sp, regs.fp, shadow_pointer(self.machine, regs.ssp))
        innermost, load = self.truth.innermost, self.machine.memory.load
        return self.features.dynamic(regs.pc, registers, innermost, load, after_call=after_call)


def run_reference(image: Image, rewrite: RewriteMap | None, plan: Plan) -> Execution:
    """Execute *image* once and judge every unwinder of *plan* at every stop."""
    check_modes(plan)
    return ReferenceEngine(image, rewrite, plan).run()


__all__ = ["NAME", "Execution", "Plan", "ReferenceEngine", "make_reader", "run_reference"]
