"""Shadow stacks in the small kernel, as unwinders read them: of tasks switched out, and from the IRQ stack."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest

from lab.balance import check_balance, check_balance_plainly
from lab.engine.plan import Injection, Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.run import NATIVE, execute
from lab.engine.switches import Seen
from lab.features import DynamicFeatures
from lab.images.workloads import workload_by_name
from lab.job import Job, Subject, prepare
from lab.layout import RewriteMap
from lab.machine.machine import Limits
from lab.registry import proposal, unwinder
from lab.selftest.differences import differences
from lab.unwind.api import BLOCKED, INJECT, Regs
from lab.unwind.host import walk
from lab.verdict import Verdict

DESIGNS = (("aarch64", "pac-register-use"), ("aarch64", "scs-clang"), ("x86_64", "xray-memory-check"))
MODES = ("inject", "blocked")
LIMITS = Limits(2_000_000, 200)
SHADOW = tuple(unwinder(name) for name in ("scs", "scs-lr", "scs-fp"))
SOME = Injection(every=997, seed=1)


@cache
def subject(arch: str, name: str) -> Subject:
    """The workload ``early`` in the kernel, with its shadow stack, checked by running it."""
    job = Job(arch, "clang", "early", name, (), MODES, "small", LIMITS, 0)
    return prepare(job, proposal(name), workload_by_name("early"))


def map_of(made: Subject) -> RewriteMap:
    assert made.rewrite is not None
    return made.rewrite


@pytest.mark.parametrize(("arch", "name"), DESIGNS)
def test_both_engines_agree_and_interrupted_tasks_are_the_designs_limit(arch: str, name: str) -> None:
    """A task that waits is known exactly.  One that was preempted was interrupted: the interrupted pc is on no shadow
    stack, so ``scs`` leaves it out and says nothing, and the two that look further refuse."""
    made, asked = subject(arch, name), Plan(SHADOW, MODES, LIMITS, 4, injection=SOME)
    native, reference = (execute(made.image, made.rewrite, asked, engine) for engine in (NATIVE, "reference"))
    assert differences(made.image, SHADOW, (NATIVE, native), ("reference", reference)) == []
    said = {
        (SHADOW[t.unwinder].name, t.mode, t.dynamic.interrupted, t.judgement.verdict) for t in native.tallies if t.stops
    }
    blocked = {key[0::2] + key[3:] for key in said if key[1] == BLOCKED and key[0] == "scs"}
    # In memory the entry leaves one stale word: interrupted where a call has just returned to, it is the right one.
    lucky = {("scs", True, Verdict.EXACT)} if arch == "x86_64" else set()
    assert blocked - lucky == {("scs", False, Verdict.EXACT), ("scs", True, Verdict.MISSING)}
    assert {key[3] for key in said if key[:3] == ("scs-lr", BLOCKED, True)} == {Verdict.REFUSED}
    assert ("scs-lr", BLOCKED, False, Verdict.EXACT) in said
    assert {key[3] for key in said if key[0] != "scs"} <= {Verdict.EXACT, Verdict.REFUSED}
    assert {key[3] for key in said if key[:2] == ("scs", INJECT)} == {Verdict.MISSING}


def is_within(reported: Sequence[int], truth: Sequence[int]) -> bool:
    """Whether *reported* is a subsequence of *truth*."""
    rest = iter(truth)
    return all(address in rest for address in reported)


class FromTheIrqStack(ReferenceEngine):
    """Walks ``scs`` at every ``inject`` stop on the IRQ stack: the trace, the truth, and the task's oldest entry."""

    def __init__(self, made: Subject) -> None:
        super().__init__(made.image, made.rewrite, Plan(SHADOW[:1], ("inject",), LIMITS, 0, injection=SOME))
        self.walks: list[tuple[tuple[int, ...], tuple[int, ...], int | None]] = []

    def _stop(self, mode: int, regs: Regs, seen: Seen, dynamic: DynamicFeatures, place: int | None = None) -> None:
        super()._stop(mode, regs, seen, dynamic, place)
        if self.reader.stack_low == self.reader.irq_low:
            trace = walk(SHADOW[0], mode, regs.pc, regs, self.reader).addresses
            self.walks.append((trace, seen.truth, self.machine.memory.load(self.reader.task_shadow_low)))


@pytest.mark.parametrize(("arch", "name"), DESIGNS)
def test_from_the_interrupt_s_shadow_stack_the_walk_goes_on_with_the_task_s(arch: str, name: str) -> None:
    """It ends at the task's oldest entry; what the register flavours report is live, in order."""
    engine = FromTheIrqStack(subject(arch, name))
    engine.run()
    assert len(engine.walks) > 20
    for trace, truth, oldest in engine.walks:
        assert trace[-1] == oldest and len(trace) >= 4
        assert arch == "x86_64" or is_within(trace, truth)


@pytest.mark.parametrize(("arch", "name"), DESIGNS)
def test_the_balance_is_checked_of_every_stack(arch: str, name: str) -> None:
    made = subject(arch, name)
    found, plain = (check(made.image, map_of(made), LIMITS) for check in (check_balance, check_balance_plainly))
    assert (found.problem, plain.problem) == ("", "")
    assert found.checked > plain.checked > 5_000, "under its timer, and without"
    assert found.stacks >= 2, "tasks that wait when the run ends"
