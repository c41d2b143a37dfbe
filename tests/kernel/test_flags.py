"""Where the advisory flags of a task are right, missing or lost, as docs/kernel.md says: every stop of a run with
interrupts everywhere.

A rule of ``lab.unwind.rules.flags`` refuses first, so what it says of ``fp`` is the flag; ``interrupted`` is the truth.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import pytest

from lab.engine.plan import Injection, Plan
from lab.engine.run import execute
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.unwind.api import BLOCKED, BOUNDARY, INJECT, MODES
from lab.verdict import Verdict
from tests.engine.kernel import kernel_image
from tests.support import ARCH_NAMES

FLAGS = {"fp+irq-flag": "interrupted", "fp+exception-flag": "exception"}
Where = dict[tuple[bool, bool], dict[int, int]]
"""(the flag is set, an exception lies on the true trace) -> pc -> stops."""


@cache
def measured(arch: str) -> dict[tuple[str, int], Where]:
    """Of the task at hand, by flag and stop mode."""
    asked = Injection(each=1, every=499, seed=1)
    modes = ("boundary", "inject", "blocked")
    plan = Plan(tuple(map(unwinder, FLAGS)), modes, Limits(2_000_000, 300), 0, injection=asked)
    found: dict[tuple[str, int], Where] = {
        (name, MODES[mode]): defaultdict(lambda: defaultdict(int)) for name in FLAGS for mode in modes
    }
    for tally in execute(kernel_image(arch, "early"), None, plan).tallies:
        name, judged = list(FLAGS)[tally.unwinder], tally.judgement
        is_set = judged.verdict is Verdict.REFUSED and judged.reason == FLAGS[name]
        found[name, tally.mode][is_set, bool(tally.dynamic.interrupted)][tally.pc] += tally.stops
    return found


def functions(arch: str, places: dict[int, int]) -> set[str]:
    """The functions of *places*."""
    return {kernel_image(arch, "early").locate(pc).split("+")[0] for pc in places}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_of_a_task_that_is_switched_out_the_preempted_flag_is_right(arch: str) -> None:
    """Set before the switch and cleared after it, with preemption off between: there is no race to lose."""
    where = measured(arch)["fp+irq-flag", BLOCKED]
    assert sum(where[True, True].values()) > 300 and sum(where[False, False].values()) > 300
    assert not where[True, False] and not where[False, True]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_nested_exception_loses_the_exception_flag_of_a_preempted_task(arch: str) -> None:
    """One bit, cleared by the inner exception's exit: of tasks that were preempted a good part is not refused."""
    where = measured(arch)["fp+exception-flag", BLOCKED]
    assert not where[True, False]
    lost, kept = sum(where[False, True].values()), sum(where[True, True].values())
    assert lost > 50 and kept > 200
    assert functions(arch, where[False, True]) == {"schedule"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("name", FLAGS)
def test_neither_flag_is_ever_set_without_an_exception_on_the_trace(arch: str, name: str) -> None:
    """Cleared late is cleared before the return from the exception: no instruction of interrupted code runs with it."""
    where = measured(arch)[name, BOUNDARY]
    assert sum(where[False, False].values()) > 100_000
    assert not where[True, False]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_preempted_flag_is_missing_but_for_the_middle_of_the_exit(arch: str) -> None:
    """In preempt_schedule_irq, the one function that writes it: clear up to its store, set from there to the clear."""
    where, image = measured(arch)["fp+irq-flag", BOUNDARY], kernel_image(arch, "early")
    writer = next(f for f in image.functions if "preempt_schedule_irq" in f.names)
    inside = range(writer.start, writer.end)
    on = sorted(pc for pc in where[True, True] if pc in inside)
    off = sorted(pc for pc in where[False, True] if pc in inside)
    before, after = [pc for pc in off if pc < on[0]], [pc for pc in off if pc > on[-1]]
    assert before and after and sorted(before + after) == off, "one window, and no pc is both"
    missing = functions(arch, where[False, True])
    assert {"vector_irq", "el1_irq", "irq_handler", "stack_trace_save", "ret_to_kernel"} <= missing


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_in_a_handler_that_asks_for_its_own_trace_the_preempted_flag_says_nothing(arch: str) -> None:
    """It is set at the end of an interrupt, so only where another one came within that end is it seen.  The exception
    flag is clear where user mode was interrupted, which is no kernel function, and where a nested exception, which came
    before the handler asked, has cleared it."""
    preempted = measured(arch)["fp+irq-flag", INJECT]
    assert not preempted[True, False] and sum(preempted[True, True].values()) < sum(preempted[False, False].values())
    exception = measured(arch)["fp+exception-flag", INJECT]
    assert sum(exception[True, False].values()) > 500 and not exception[False, True]
    clear = functions(arch, exception[False, False])
    assert {"user_call", "user_main", "user_round"} < clear and "lab_main" in clear
