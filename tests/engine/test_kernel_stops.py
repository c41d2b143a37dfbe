"""Workloads as tasks of the lab's kernel, with exceptions really taken: all four modes in both engines."""

from __future__ import annotations

from collections import Counter

import pytest

from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Execution, Injection, Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.switches import Seen
from lab.errors import EngineError, InputError
from lab.features import DynamicFeatures, Features
from lab.images.image import Image
from lab.job import Job, run_job
from lab.layout import Region
from lab.machine.machine import Limits
from lab.registry import all_unwinders, unwinder
from lab.unwind.api import BLOCKED, BOUNDARY, INJECT, Regs, Unwinder
from lab.unwind.host import Ending, walk
from lab.verdict import Verdict
from tests.engine.kernel import ALL, FP, LIMITS, LR, kernel_image, plan
from tests.engine.native.agreement import assert_agree, case, difference
from tests.support import ARCH_NAMES, compile_c

WORKLOADS = ("longjmp",)


def usable(arch: str, *more: Unwinder) -> list[Unwinder]:
    return [u for u in (*all_unwinders(), *more) if u.unsupported(arch, has_shadow=False) is None]


def stops(execution: Execution, mode: int) -> int:
    return sum(t.stops for t in execution.tallies if t.mode == mode and t.unwinder == 0)


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_both_engines_agree_in_all_four_modes_and_counts_sum(arch: str, workload: str) -> None:
    """`guess` reads whole stacks at every stop, which takes as long as all the others: on one architecture."""
    image = kernel_image(arch, workload)
    asked = {"fp", "fp-reliable", "oracle", FP.name, LR.name} | ({"guess"} if arch == "x86_64" else set())
    some = [u for u in usable(arch, FP, LR) if u.name in asked]
    execution = assert_agree(case(image, some, ALL, limits=LIMITS, stacks=4))
    assert stops(execution, BOUNDARY) == execution.instructions
    assert stops(execution, INJECT) == execution.injections > 300
    assert stops(execution, BLOCKED) == execution.switches > 50


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_both_engines_agree_on_every_unwinder_where_the_kernel_asks(arch: str) -> None:
    """``unwindlab selftest --all`` does so for every workload, in all four modes."""
    assert_agree(case(kernel_image(arch, "early"), usable(arch), ("inject", "blocked"), limits=LIMITS, stacks=4))


@pytest.mark.parametrize("injection", [Injection(each=2), Injection(every=501, seed=7), Injection(1, 997, 3)], ids=str)
def test_both_engines_take_the_same_exceptions(injection: Injection) -> None:
    image = kernel_image("x86_64", "early")
    asked = plan(FP, unwinder("oracle"), injection=injection)
    expected = ReferenceEngine(image, None, asked).run()
    assert expected.outcome.status == 0 and expected.injections > 10
    found = NativeEngine(image, None, asked).run()
    assert (found.injections, found.switches) == (expected.injections, expected.switches)
    assert difference(case(image, asked.unwinders, ALL), expected, found) == ""


class Beyond(ReferenceEngine):
    """Compares each ``inject`` stop with the ``boundary`` stop at the instruction it interrupted."""

    def __init__(self, image: Image, asked: Plan) -> None:
        super().__init__(image, None, asked)
        self.waiting: dict[tuple[int, int], tuple[tuple[int, ...], list[tuple[int, ...] | None]]] = {}
        self.compared: Counter[str] = Counter()

    def said(self, mode: int, regs: Regs) -> list[tuple[int, ...] | None]:
        """What each unwinder reports, None where it does not come to an end."""
        traces = [walk(u, mode, regs.pc, regs, self.reader) for u in self.plan.unwinders]
        return [trace.addresses if trace.ending is Ending.END else None for trace in traces]

    def _stop(self, mode: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures, place: int | None = None) -> None:
        super()._stop(mode, regs, seen, dynamic, place)
        if mode == INJECT:
            assert self.injector is not None and place is not None
            taken = next(t for t in reversed(self.injector._under_way) if t.pc == place)
            if self.guest.is_task(self.guest.holding(taken.sp) or 0) or taken.sp in range(*self._irq()):
                self.waiting[place, taken.sp] = seen.truth, self.said(mode, regs)
        elif mode == BOUNDARY and (regs.pc, regs.sp) in self.waiting:
            truth, reported = self.waiting.pop((regs.pc, regs.sp))
            self._compare(regs.pc, (truth, reported), (seen.truth, self.said(mode, regs)))

    def _irq(self) -> tuple[int, int]:
        return self.reader.irq_low, self.reader.irq_high + 1

    def _compare(
        self,
        pc: int,
        inside: tuple[tuple[int, ...], list[tuple[int, ...] | None]],
        outside: tuple[tuple[int, ...], list[tuple[int, ...] | None]],
    ) -> None:
        truth, place = outside[0], self.image.locate(pc)
        handler = len(inside[0]) - len(truth)
        assert handler > 1, place
        assert inside[0][handler - 1 :] == (pc, *truth), place
        self.compared["truth"] += 1
        for unwinder_, one, other in zip(self.plan.unwinders, inside[1], outside[1], strict=True):
            if one is None or other is None:
                assert one is other, f"{unwinder_.name} at {place}"
            else:
                assert one[:handler] == inside[0][:handler], f"{unwinder_.name} in the handler, from {place}"
                assert one[handler:] == other, f"{unwinder_.name} at {place}"
                self.compared[unwinder_.name] += 1


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_boundary_and_inject_agree_beyond_the_interrupted_pc(arch: str) -> None:
    unwinders = [u for u in (FP, LR) if u.unsupported(arch, has_shadow=False) is None]
    engine = Beyond(kernel_image(arch, "longjmp"), plan(*unwinders, injection=Injection(each=1)))
    execution = engine.run()
    assert execution.outcome.status == 0 and not engine.waiting
    assert engine.compared["truth"] > 0.9 * execution.injections
    for unwinder_ in unwinders:
        assert engine.compared[unwinder_.name] > 0.8 * engine.compared["truth"], unwinder_.name


def own_counts(image: Image, execution: Execution) -> dict[int, int]:
    """Boundary stops at each pc of the workload's own code."""
    features = Features(image, None)
    own = [t for t in execution.tallies if t.mode == BOUNDARY and features.region(t.pc) is Region.ORIGINAL]
    counts: Counter[int] = Counter()
    for tally in own:
        counts[tally.pc] += tally.stops
    return dict(counts)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_exceptions_change_no_result_and_no_count_of_the_workload(arch: str) -> None:
    image, oracle = kernel_image(arch, "tree"), unwinder("oracle")
    plain = NativeEngine(image, None, plan(oracle, modes=("boundary",))).run()
    assert plain.injections == 0
    for injection in (Injection(each=3), Injection(every=1501, seed=5)):
        disturbed = NativeEngine(image, None, plan(oracle, modes=("boundary",), injection=injection)).run()
        assert disturbed.injections > 5
        assert disturbed.instructions > plain.instructions
        assert disturbed.outcome.result == plain.outcome.result
        assert own_counts(image, disturbed) == own_counts(image, plain) != {}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_exceptions_nest_once_and_their_stops_say_so(arch: str) -> None:
    image = kernel_image(arch, "early")
    execution = ReferenceEngine(image, None, plan(unwinder("oracle"), injection=Injection(each=1))).run()
    features = Features(image, None)
    injected = [t for t in execution.tallies if t.mode == INJECT]
    regions = {features.region(t.pc): t.dynamic.interrupted for t in injected}
    assert regions[Region.ORIGINAL] is False, "nothing had been interrupted before"
    assert any(t.dynamic.interrupted for t in injected), "inside a handler"
    assert all(features.region(t.pc) is Region.HANDLER for t in injected if t.dynamic.interrupted)


def test_a_preempted_task_is_told_from_one_that_waits() -> None:
    image = kernel_image("aarch64", "tree")
    asked = plan(FP, modes=("blocked",), injection=Injection(every=1001))
    blocked = NativeEngine(image, None, asked).run().tallies
    assert {t.dynamic.interrupted for t in blocked} == {True, False}
    quiet = NativeEngine(image, None, plan(FP, modes=("blocked",), injection=Injection())).run().tallies
    assert {t.dynamic.interrupted for t in quiet} == {False}


@pytest.mark.parametrize("engine", [ReferenceEngine, NativeEngine])
def test_a_switch_without_its_stop_is_a_fault(engine: type[ReferenceEngine] | type[NativeEngine]) -> None:
    made = engine(kernel_image("x86_64", "early"), None, plan(unwinder("oracle"), modes=("blocked",)))
    switches = made.switches if isinstance(made, ReferenceEngine) else made.asides.switches
    switches.made += 1
    with pytest.raises(EngineError, match=r"verdicts? for \d+ stops"):
        made.run()


@pytest.mark.parametrize(("mode", "said"), [("inject", "handles no interrupts"), ("blocked", "has no tasks")])
@pytest.mark.parametrize("engine", [ReferenceEngine, NativeEngine])
def test_an_image_without_the_kernel_is_refused_in_one_line(
    engine: type[ReferenceEngine] | type[NativeEngine], mode: str, said: str
) -> None:
    image = compile_c("x86_64", "int test_main(void) { return 0; }")
    with pytest.raises(InputError, match=said) as caught:
        engine(image, None, Plan((unwinder("fp"),), (mode,)))
    assert "\n" not in str(caught.value) and f"leave the stop mode {mode} out" in str(caught.value)


def test_a_job_with_such_a_mode_is_linked_with_the_kernel_and_says_what_it_cannot_do() -> None:
    job = Job("x86_64", "clang", "early", "base", ("oracle", "fp"), ("boundary", "blocked"), "small", Limits(), 1)
    result = run_job(job)
    assert {c.mode: c.stops == c.verdicts["exact"] > 0 for c in result.cells if c.unwinder == "oracle"} == {
        "boundary": True,
        "blocked": True,
    }
    assert "handler" in result.cells[0].by_region and any(row.interrupted for row in result.verdicts)
    refused = run_job(Job("x86_64", "clang", "early", "xray-parallel-use", ("fp",), ("inject",), "small", Limits(), 1))
    assert [c.unsupported for c in refused.cells if c.stops == 0 and "12 MiB below its stack" in str(c.unsupported)]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_unwind_information_leads_through_exceptions(arch: str) -> None:
    """The rows of the entry code say where a pt_regs lies (SFrame cannot: FP leads to it): the walk goes on from the
    registers in it, LR included, and leaves the IRQ stack."""
    designs = [u for u in map(unwinder, ("dwarf", "orc", "sframe")) if u.unsupported(arch, has_shadow=False) is None]
    assert len(designs) == {"aarch64": 2, "x86_64": 3}[arch]
    execution = NativeEngine(kernel_image(arch, "tree"), None, plan(*designs, modes=("inject",))).run()
    for index, _ in enumerate(designs):
        own = [tally for tally in execution.tallies if tally.unwinder == index]
        assert sum(t.stops for t in own if t.judgement.verdict is Verdict.EXACT) > 0.95 * execution.injections > 300
        assert not any(t.judgement.verdict in {Verdict.MISSING, Verdict.EXTRA} for t in own)
