"""The reference engine: at every stop, every unwinder against the truth, in plain Python.

Truth comes from decoded control flow as the guest executes it.  ``boundary`` stops before every executed
instruction under the exception overlay; ``call`` stops directly after a call retires, with pc = ra, FP and
SP as at the call and the callee having pushed nothing.  ``inject`` stops at ``lab_handler_stop`` in the handler of
an exception that the plan had taken, and is counted where that interrupted; ``blocked`` at ``lab_switched``, for the
task that was switched out.  Counts are checked: stops are retired instructions, retired calls, exceptions taken and
switches away from a task, or the run is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.arch.decode import Kind
from lab.covers import Coverage
from lab.engine.guest import Guest, check_saved
from lab.engine.hardware import HardwareShadow, faults_note
from lab.engine.injection import Injector
from lab.engine.plan import (
    RED_ZONE,
    Execution,
    Plan,
    Pokes,
    check_modes,
    covered_by,
    make_reader,
    shadow_pointer,
    sp_left_text,
)
from lab.engine.switches import Seen, Switches, injector_of, stops_due
from lab.engine.tally import Recorder, Said
from lab.errors import EngineError, InputError
from lab.features import DynamicFeatures, Features
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.outcome import Outcome
from lab.truth import CallEvent, GuestTruth
from lab.unwind.api import BLOCKED, BOUNDARY, CALL, INJECT, Regs
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
        self.guest = Guest(self.machine)
        self._truths = GuestTruth(self.guest.linking, self.coverage.body)
        self.truth = self._truths.now
        self.reader = make_reader(self.machine, plan.tables)
        self.hardware = HardwareShadow(self.machine, self.guest.hardware)
        self.guest.show(self.reader, 0)
        self.recorder = Recorder(plan.stacks, self.machine.registers, self.machine.memory.load)
        arch = image.arch
        lr = arch.lr or arch.sp
        ssp = arch.shadow_register or arch.sp
        self._file = self.machine.register_file((arch.sp, arch.fp, lr, ssp))
        self._has_lr, self._has_ssp = arch.lr is not None, arch.shadow_register is not None
        self._boundary, self._call = "boundary" in plan.modes, "call" in plan.modes
        self._red_zone = RED_ZONE if plan.model == "signal" else 0
        self._instructions = 0
        self._low, self._high = self.guest.stacks[0].low, self.guest.stacks[0].high
        self._on = 0
        self.switches = Switches(self.guest)
        self.injector = injector_of(plan, self.guest)
        self._watched = self._watch()
        self._pokes = Pokes(self.machine, plan.pokes) if plan.pokes else None

    def _watch(self) -> dict[int, Callable[[Regs], None]]:
        """What else is done before the instructions at some pcs, after the stops there."""
        watched: dict[int, Callable[[Regs], None]] = {}
        if self.guest.tasks is not None:
            watched[self.guest.tasks.switched] = self._switched
        if self.injector is not None:
            watched[self.injector.handler_stop] = self._handler_stop
        return watched

    def run(self) -> Execution:
        """Execute the image; EngineError where counts do not sum."""
        began = time.perf_counter()
        with Watchdog(self.reader):
            outcome = self.machine.execute(self._instruction)
        wall = time.perf_counter() - began
        self._check(outcome)
        engines = (NAME,) * len(self.plan.unwinders)
        tallies, stacks = self.recorder.tallies(), self.recorder.stacks()
        return Execution(
            outcome,
            self._instructions,
            self._truths.calls,
            wall,
            tallies,
            stacks,
            engines,
            faults_note(self.hardware.faults),
            injections=self.injector.taken if self.injector else 0,
            switches=self.switches.made,
        )

    def _check(self, outcome: Outcome) -> None:
        due = stops_due(self.plan, self._instructions, self._truths.calls, self, outcome)
        for mode, expected in due.items():
            for index, unwinder in enumerate(self.plan.unwinders):
                counted = self.recorder.total(mode, index)
                if counted != expected:
                    sums = f"{counted} verdicts for {expected} stops"
                    raise EngineError(f"{self.image.path}: {unwinder.name}: {sums}; this is a fault of the lab")

    # -- every instruction --------------------------------------------------------------------------------

    def _instruction(self, pc: int) -> bool:
        """True where an exception is taken instead."""
        if self._pokes is not None:
            self._pokes.before(self._instructions)
        sp, fp, lr, ssp = self._file.read()
        if not self._low <= sp <= self._high:
            self._enter(self.guest.holding(sp), sp, pc)
        self.hardware.before(pc)
        hssp = self.hardware.pointer
        regs = Regs(pc, sp, fp, lr if self._has_lr else 0, ssp if self._has_ssp else 0, hssp)
        truth = self.truth
        pending = truth.pending
        if pending is not None and not pending.taken:
            self._confirm(pending, regs)
            if self._call:
                self._call_stop(pending, regs)
            self.hardware.push(pending.ra)
            regs = regs._replace(hssp=self.hardware.pointer)
        truth.before(pc, sp)
        if self.injector is not None and self._interrupted(self.injector, regs):
            return True
        self._instructions += 1
        if self._boundary:
            self._boundary_stop(regs)
        if pc in self._watched:
            self._watched[pc](regs)
        insn = self.machine.insn_at(pc)
        if insn.kind is Kind.CALL:
            truth.call(insn.end, sp, shadow_pointer(self.machine, regs.ssp))
        else:
            self.hardware.at(insn)
        return False

    def _enter(self, index: int | None, sp: int, pc: int) -> None:
        """SP has moved to another stack."""
        if index is None:
            raise InputError(sp_left_text(self.image, sp, pc))
        self.switches.enter(self._on, index)
        self.hardware.enter(index, self.guest.begins_at(index, self._on))
        self._truths.enter(index)
        self.truth, self._on = self._truths.now, index
        self._show(index)

    def _show(self, index: int) -> None:
        self.guest.show(self.reader, index)
        self._low, self._high = self.guest.stacks[index].low, self.guest.stacks[index].high

    def _delivered(self, ra: int, sp: int) -> None:
        """A handler runs next: a signal's as if called, or an exception's.  Its activation ends when control arrives at
        *ra*."""
        ssp = self._file.read()[3] if self._has_ssp else 0
        begin = self.truth.call if self.machine.exceptions is None else self.truth.take
        begin(ra, sp, shadow_pointer(self.machine, ssp))
        if self.machine.exceptions is not None:
            self.hardware.taken(ra)

    def _interrupted(self, injector: Injector, regs: Regs) -> bool:
        """Whether an exception has been taken before the instruction at hand, whose activation begins with it."""
        if injector.resumed(regs.pc, regs.sp):
            return False
        if not injector.due(regs.pc, self._instructions):
            return False
        injector.take(regs.pc, regs.sp, self._dynamic(regs), self._instructions)
        return True

    def _confirm(self, event: CallEvent, regs: Regs) -> None:
        """What the processor stored as return address must be what decoding said: two sources that must agree."""
        pushed = self.machine.arch.call_pushes
        stored = self.machine.memory.load(event.sp_at_call - pushed) if pushed else regs.lr
        if stored != event.ra:
            got = "nothing" if stored is None else f"{stored:#x}"
            raise EngineError(
                f"{self.image.path}: call before {event.ra:#x} stored {got}; decoder and processor disagree"
            )

    # -- stops --------------------------------------------------------------------------------------------

    def _boundary_stop(self, regs: Regs) -> None:
        reader = self.reader
        reader.exception(regs.sp - self._red_zone)
        self._stop(BOUNDARY, regs, self._seen(), self._dynamic(regs))

    def _call_stop(self, event: CallEvent, regs: Regs) -> None:
        """The call has retired and its activation is not yet on the truth stack: the caller's view."""
        self.reader.no_exception()
        at = regs._replace(pc=event.ra, sp=event.sp_at_call)
        self._stop(CALL, at, self._seen(), self._dynamic(at, after_call=True))

    def _handler_stop(self, regs: Regs) -> None:
        """The handler of an exception asks for a stack trace: the stop is counted where it interrupted."""
        assert self.injector is not None
        taken = self.injector.stop()
        if taken is not None and "inject" in self.plan.modes:
            self.reader.no_exception()
            self._stop(INJECT, regs, self._seen(), taken.dynamic, taken.pc)

    def _switched(self, regs: Regs) -> None:
        """SP is the next task's: the one before is seen as its switch saved it, without the call of the switch."""
        index = self.switches.end()
        if index is None or "blocked" not in self.plan.modes:
            return
        live = self._truths.on[index].activations()
        saved = self.guest.saved(index)
        check_saved(self.machine, saved, (live[0].ra, live[0].sp_at_call) if live else None)
        self._show(index)
        registers = (saved.sp, saved.fp, saved.ssp)
        innermost, load = (live[1] if len(live) > 1 else None), self.machine.memory.load
        interrupted = any(activation.taken for activation in live[1:])
        dynamic = self.features.dynamic(saved.pc, registers, innermost, load, after_call=True, interrupted=interrupted)
        self._stop(BLOCKED, saved, Seen.of(live[1:]), dynamic)
        self._show(self._on)

    def _seen(self) -> Seen:
        return Seen(self.truth.trace(), self.truth.inside())

    def _stop(self, mode: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures, place: int | None = None) -> None:
        """*place*: the pc that the stop is counted at, where it is not the stop's own."""
        reader, truth = self.reader, seen.truth
        covered = covered_by(self.coverage, mode, regs.pc, truth, seen.inside)
        at = regs.pc if place is None else place
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
                self.recorder.keep(mode, index, Said(regs, judgement, truth, trace.addresses, at))
        self.recorder.count(mode, at, dynamic, tuple(judgements))

    def _dynamic(self, regs: Regs, *, after_call: bool = False) -> DynamicFeatures:
        registers = (regs.sp, regs.fp, shadow_pointer(self.machine, regs.ssp))
        innermost, load = self.truth.innermost, self.machine.memory.load
        interrupted = self.truth.inside() is not None
        return self.features.dynamic(
            regs.pc, registers, innermost, load, after_call=after_call, interrupted=interrupted
        )


def run_reference(image: Image, rewrite: RewriteMap | None, plan: Plan) -> Execution:
    """Execute *image* once and judge every unwinder of *plan* at every stop."""
    check_modes(plan)
    return ReferenceEngine(image, rewrite, plan).run()


__all__ = ["NAME", "Execution", "Plan", "ReferenceEngine", "make_reader", "run_reference"]
