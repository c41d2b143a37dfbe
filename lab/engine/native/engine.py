"""The native engine: the same counts as the reference engine, at nearly the emulator's speed.

Compiled code does all that happens at an instruction; Python is called for what is rare (``Event``): an
instruction seen for the first time, a stack to keep, a table that is full, the clock.  Truth, classification and
the prediction of stores are the hook's own; unwinders, symbols and metadata tables are shared with the
reference engine.  Wherever Python looks at a stop, it walks it again with the reference engine's host and
compares: a difference is an error of the run.
"""

from __future__ import annotations

import ctypes
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from lab.covers import Coverage
from lab.engine.guest import Guest
from lab.engine.hardware import faults_note
from lab.engine.native.asides import Asides
from lab.engine.native.audits import Audits
from lab.engine.native.cells import CRASH, CRASH_LOOPS, DETAIL, TICKS, Changed, P, Place, S, Truth
from lab.engine.native.codes import features_of, judgement_of, short_text, vectors_of
from lab.engine.native.compiling import compiled_evaluator, compiled_hook
from lab.engine.native.core.features import VECTOR
from lab.engine.native.event_codes import Event
from lab.engine.native.events import CALLBACK, NotNative, nothing_lost
from lab.engine.native.generate import cursor_words
from lab.engine.native.rows import reads
from lab.engine.native.stacks import Stacks
from lab.engine.native.state import State
from lab.engine.native.tables import Places, build_spans
from lab.engine.plan import RED_ZONE, Execution, Plan, covered_by, make_reader, sp_left_text
from lab.engine.switches import Seen, stops_due
from lab.engine.tally import Keeper, Said, Tally, split
from lab.errors import EngineError, InputError
from lab.features import Features
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import End, Outcome
from lab.truth import Activation
from lab.unwind.api import BLOCKED, BOUNDARY, INJECT, MODES, Regs
from lab.unwind.host import Crash, Ending, Trace, crash_text, walk, walk_ignoring
from lab.unwind.reader import Reader
from lab.verdict import Verdict, judge

NAME = "native"
MOST_UNWINDERS = 63  # bits of a slot's mask, RELEVANT apart

FEWEST_RECALLED = 2  # unwinders: one alone is asked as fast as it is looked up


class NativeEngine:
    """One image, one execution, all unwinders of the plan."""

    def __init__(self, image: Image, rewrite: RewriteMap | None, plan: Plan, *, balance: bool = False) -> None:
        self.image, self.plan = image, plan
        self.machine = machine = plan.machine(image, rewrite)
        self.features, self.coverage = Features(image, rewrite), Coverage(image, rewrite)
        self.reader: Reader = make_reader(machine, plan.tables)
        self.keeper = Keeper(plan.stacks, machine.registers, machine.memory.load)
        spans = build_spans(machine, self.coverage, self.features, self.reader)
        self.places = Places(image.arch, spans)
        self.state = State(machine, self.reader, spans, self.places)
        self.stacks = Stacks(self.state, Guest(machine), self.reader)
        self.asides = Asides(machine, self.state, self.stacks, self.features, plan)
        self._hook = compiled_hook()
        self._compiled = [None if u.oracle else compiled_evaluator(u) for u in plan.unwinders]
        evaluators = [
            (0, 1, Changed.TRUTH, 0) if native is None else (native.address, cursor_words(unwinder), *reads(unwinder))
            for native, unwinder in zip(self._compiled, plan.unwinders, strict=True)
        ]
        self.state.set_unwinders(evaluators, self.places.count)
        self._callback = CALLBACK(self._on_event)
        self._set_plan(balance=balance)
        self._events: dict[int, Callable[[int, int], int | None]] = {
            Event.DECODE: self._decoded,
            Event.KEEP: self._keep,
            Event.BUDGET: lambda _a, _b: self._stop(f"{plan.limits.instructions} instructions"),
            Event.TICK: self._tick,
            Event.MOVED: self._moved,
            Event.TAKE: self._take,
            Event.WATCHED: lambda pc, _b: self.asides.begin(pc),
            Event.STOPPED: self._stopped,
            Event.NOT_STORED: self._not_stored,
            Event.GROW_TRUTH: lambda _a, _b: self.state.grow("truth"),
            Event.GROW_ENTRIES: lambda _a, _b: self.state.grow("entries"),
            Event.GROW_NODES: lambda _a, _b: self.state.grow("nodes"),
            Event.CODE_WRITTEN: self._code_written,
            Event.FLAGS: lambda _a, _b: machine.registers()["flags"],
            Event.UNKNOWN_STATUS: self._unknown_status,
            Event.AUDIT: self._audit,
            Event.IMBALANCE: self._imbalance,
            Event.RETURNED: lambda pc, _b: self.asides.returned(pc),
            Event.CALL_SITE: lambda a, _b: self.state.found_site(a, self.reader.after_call(a)),
        }
        machine.on_write(self._host_wrote)
        machine.on_delivery(self.asides.delivered)

    def _set_plan(self, *, balance: bool) -> None:
        state, plan = self.state, self.plan
        state[S.EVENT] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        state[S.MEMO] = plan.memo
        state.set_recall(on=plan.memo and len(plan.unwinders) >= FEWEST_RECALLED)
        state[S.LOG_LIMIT] = len(state.arrays["log"]) if plan.memo else 0
        state[S.MODES] = ("boundary" in plan.modes) | ("call" in plan.modes) << 1
        state[S.LIMIT] = plan.limits.instructions
        state[S.RED_ZONE] = RED_ZONE if plan.model == "signal" else 0
        state[S.BALANCE] = balance
        state.set_limits([(given.cap, given.cap_status) for given in plan.unwinders], keep=plan.stacks != 0)

    def run(self) -> Execution:
        """Execute the image; EngineError where counts do not sum; NotNative names an unwinder to be left out."""
        self._audits = Audits()
        self._deadline = time.monotonic() + self.plan.limits.seconds
        began = time.perf_counter()
        with nothing_lost(self._on_event, self._abort):
            outcome = self.machine.execute_native(self._hook.address, self.state.address)
        wall = time.perf_counter() - began
        instructions, calls, kept = self.instructions, self.state[S.CALLS], self.keeper.stacks()
        engines = (NAME,) * len(self.plan.unwinders)
        notes, tallies = faults_note(self.state[S.HW_FAULTS] + self.asides.hardware_faults), self._tallies(outcome)
        return Execution(outcome, instructions, calls, wall, tallies, kept, engines, notes, *self.asides.made)

    @property
    def instructions(self) -> int:
        """Instructions retired so far, the one at hand included."""
        return self.state[S.INSTRUCTIONS] - self.state[S.LEFT]

    # -- counts ---------------------------------------------------------------------------------------------

    def _tallies(self, outcome: Outcome) -> tuple[Tally, ...]:
        state, unwinders = self.state, self.plan.unwinders
        for index, own in enumerate(state.unwinders):
            if own.block[P.UNDER_WAY]:
                raise NotNative(index, "its compiled code raised an exception")
        vectors = vectors_of(state, unwinders)
        counts = Counter(self.asides.counts)
        sums = {mode: self.asides.stops[mode] for mode in MODES.values()}
        records = self.places.records
        newest = np.flatnonzero(records[:, Place.STOPS])
        rows = [(2 * place, int(records[place, Place.KEY]), int(records[place, Place.STOPS])) for place in newest]
        rows += [tuple(row[:3]) for row in state.arrays["entries"][1 : state[S.ENTRY_COUNT]].tolist()]
        for place, key, stops in rows:
            mode, judged = int(place) & 1, vectors[key >> VECTOR]
            if len(judged) != len(unwinders):
                raise EngineError(f"{self.image.path}: a stop without all verdicts; this is a fault of the lab")
            counts[mode, self.places.pc(int(place) >> 1), features_of(key), judged] += stops
            sums[mode] += stops
        expected = stops_due(self.plan, self.instructions, state[S.CALLS], self.asides, outcome)
        if sums != expected:
            said = ", ".join(f"{sums[mode]} verdicts for {expected[mode]} stops" for mode in sums)
            raise EngineError(f"{self.image.path}: {said}; this is a fault of the lab")
        return split(counts)

    # -- what compiled code asks ----------------------------------------------------------------------------

    def _on_event(self, event: int, a: int, b: int) -> int:
        """Never raises: what goes wrong ends the run and is raised where the run was started."""
        try:
            return self._events[event](a, b) or 0
        except BaseException as error:
            self._abort(error)
            return 0

    def _abort(self, error: BaseException) -> None:
        self._end()
        self.machine.abort(error)

    def _end(self) -> None:
        self.state.look_around()
        self.state[S.STOP] = 1

    def _stop(self, detail: str) -> None:
        self._end()
        self.machine.stop(End.BUDGET, None, detail)

    def _decode(self, pc: int, _b: int) -> None:
        self.places.decode(self.machine.code_at(pc), pc)

    def _decoded(self, pc: int, b: int) -> int:
        """The instruction at *pc*, as in its place; but the place stays empty where Python has to see each time."""
        self._decode(pc, b)
        code, asides = self.places.code(pc), self.asides
        if asides.watches(pc):
            code = self.places.watch(pc)
        if asides.asks(pc):
            self.places.forget(pc, pc + 1)
            self.state.look_around()
        return code

    def _tick(self, pc: int, _b: int) -> int:
        if time.monotonic() > self._deadline:
            self._stop(f"{self.plan.limits.seconds:g} s")
        elif self._audits.due(len(self.plan.unwinders) * self.state[S.DEPTH]):
            self.state[S.AUDIT] = 1
            self.state[S.CHANGED] |= Changed.UNSURE
        inside = pc == 0  # a rep-prefixed instruction
        return TICKS if inside or self.state[S.STOP] else self.asides.most(pc, self.state.sp, self.instructions)

    def _moved(self, sp: int, pc: int) -> None:
        if not self.asides.moved(sp):
            raise InputError(sp_left_text(self.image, sp, pc))

    def _take(self, pc: int, _b: int) -> None:
        self.places.forget(pc, pc + 1)  # Python has to see the return to it
        self.asides.take(pc, self.instructions)

    def _stopped(self, mode: int, _b: int) -> None:
        """A stop that Python began has been judged by the hook's evaluators."""
        asides, both = self.asides, zip(self.state.unwinders, self.plan.unwinders, strict=True)
        judged = tuple(judgement_of(own.code(mode), unwinder) for own, unwinder in both)
        for index, judgement in enumerate(judged):
            if judgement.verdict is not Verdict.EXACT and not self.keeper.full(mode, index):
                self.keeper.keep(mode, index, asides.stops[mode], self._judged(index))
        asides.end(judged)

    def _not_stored(self, ra: int, value: int) -> None:
        got = f"stored {value:#x}; decoder and processor disagree"
        raise EngineError(f"{self.image.path}: call before {ra:#x} {got}")

    def _unknown_status(self, said: int, block: int) -> None:
        index = next(i for i, own in enumerate(self.state.unwinders) if own.block.ctypes.data == block)
        raise NotNative(index, f"a step said {said:#x}, which is no status")

    def _imbalance(self, _a: int, _b: int) -> None:
        raise EngineError(f"{self.image.path}: imbalance; this is a fault of the lab")

    def _code_written(self, address: int, size: int) -> None:
        """Code is about to change: decode it anew where it is next executed.  unicorn drops its translations itself."""
        ranges = [(address, address + size)] if size else self.machine.changeable
        for start, end in ranges:
            self.places.forget(start, end)
            self.machine.forget_code(start, end)
        self.state.forget_sites()

    def _host_wrote(self, address: int, size: int) -> None:
        self.state.forget()
        self.state.forget_sites()
        self.places.forget(address, address + size)

    def truth(self) -> tuple[int, ...]:
        """The live return addresses, innermost first."""
        levels = self.state.arrays["truth"][1 : self.state[S.DEPTH] + 1, Truth.RA]
        return tuple(int(ra) for ra in levels[::-1])

    def activations(self) -> tuple[Activation, ...]:
        """The live activations, innermost first."""
        return self.stacks.activations()

    def regs(self) -> Regs:
        """The registers of the stop at hand."""
        state = self.state
        return Regs(state[S.PC], state[S.SP], state[S.FP], state[S.LR], state[S.SSP], state[S.HSSP])

    def _lay_overlay(self, regs: Regs) -> None:
        if self.state[S.MODE] == BOUNDARY:
            self.reader.exception(regs.sp - self.state[S.RED_ZONE])
        else:
            self.reader.no_exception()

    def _judged(self, index: int) -> Said:
        """The stop at hand, walked by the reference engine's host; EngineError where the hook said otherwise."""
        unwinder, mode, regs = self.plan.unwinders[index], self.state[S.MODE], self.regs()
        seen = Seen.of(self.activations())
        truth = seen.truth
        reader, code = self.reader, self.state.unwinders[index].code(mode)
        if code == CRASH | CRASH_LOOPS << DETAIL:  # known to hang from a stop that Python may not have seen
            reader.hung[unwinder.name] = crash_text(unwinder, Crash.LOOPS)
        else:
            reader.hung.pop(unwinder.name, None)
        self._lay_overlay(regs)
        trace = Trace(Ending.END, truth) if unwinder.oracle else walk(unwinder, mode, regs.pc, regs, reader)
        judged = judge(
            trace,
            truth,
            go_on=lambda: walk_ignoring(unwinder, reader, trace),
            covered=covered_by(self.coverage, mode, regs.pc, truth, seen.inside),
        )
        native = judgement_of(code, unwinder)
        if native != judged:
            place = f"{self.image.path}: {unwinder.name} at {self.image.locate(regs.pc)}"
            raise EngineError(f"{place}: native {short_text(native)}, reference {short_text(judged)}")
        at = self.asides.now.place if mode in (INJECT, BLOCKED) else regs.pc
        return Said(regs, judged, truth, trace.addresses, at)

    def _keep(self, index: int, mode: int) -> None:
        stop = self.instructions - 1 if mode == BOUNDARY else self.state[S.CALLS]
        self.keeper.keep(mode, index, stop, self._judged(index))
        if self.keeper.full(mode, index):
            self.state.unwinders[index].set_full(mode)

    def _audit(self, _a: int, _b: int) -> None:
        began = time.monotonic()
        for index in range(len(self.plan.unwinders)):
            self._judged(index)
        self._audits.done(began)
