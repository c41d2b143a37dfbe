"""The suite of self-tests: what runs at which length, how parts add up, and what a difference looks like."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from lab import registry
from lab.engine.plan import Execution, Plan
from lab.engine.reference import run_reference
from lab.errors import InputError, ToolchainError
from lab.images.image import Image
from lab.images.workloads import all_workloads
from lab.machine.machine import Limits
from lab.selftest.cases import Case, Filters, Form, every
from lab.selftest.differences import differences
from lab.selftest.results import Part, Status, add_up
from lab.selftest.suite import ALL, CHECKS, DEFAULT, QUICK, Task, perform, results, run, tasks
from tests.support import ARCH_NAMES, assemble
from tests.test_interrupts import children, gone, until

# -- what runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [QUICK, DEFAULT, ALL])
def test_every_length_has_every_check_on_both_architectures_and_nothing_twice(level: str) -> None:
    chosen = tasks(level, Filters())
    assert {(t.check, t.case.arch) for t in chosen} == {(check, arch) for check in CHECKS for arch in ARCH_NAMES}
    assert len(set(chosen)) == len(chosen)
    assert all(task.case.exists for task in chosen)


def test_all_compares_the_engines_on_every_image_there_is() -> None:
    names = registry.names()
    expected = {
        (arch, workload.name, proposal.name)
        for arch in names.arches
        for workload in all_workloads()
        for proposal in registry.all_proposals()
        if not proposal.variant
        if Case(arch, workload.name, proposal.name).exists
    }
    chosen = {(t.case.arch, t.case.workload, t.case.proposal) for t in tasks(ALL, Filters()) if t.check == "engines"}
    assert chosen == expected
    assert len(chosen) > 1000


def test_all_compares_the_kernel_on_every_workload_and_briefly_under_every_proposal() -> None:
    cases = [task.case for task in tasks(ALL, Filters()) if task.check == "kernel"]
    assert {(c.arch, c.workload) for c in cases if c.proposal == "base"} == {
        (arch, w.name) for arch in ARCH_NAMES for w in all_workloads() if Case(arch, w.name, form=Form.KERNEL).exists
    }
    assert {case.form for case in cases if case.proposal == "base"} == {Form.KERNEL}
    rewritten = [case for case in cases if case.proposal != "base"]
    assert {case.form for case in rewritten} == {Form.BRIEF}
    assert {case.proposal for case in rewritten} > {"pac-register-use", "detour-memory-check", "insertion-memory-use"}
    quick = [task.case.form for task in tasks(QUICK, Filters()) if task.check == "kernel"]
    assert quick == [Form.BRIEF] * len(ARCH_NAMES)


def test_by_default_stores_are_checked_on_every_workload_and_under_every_proposal() -> None:
    cases = [task.case for task in tasks(DEFAULT, Filters()) if task.check == "stores"]
    assert {case.workload for case in cases} == {name for name, _, _ in registry.names().workloads}
    there = {case.proposal for case in every() if case.exists}
    assert {case.proposal for case in cases} == there >= {*registry.names().default_proposals} - {"scs-gcc"}


def test_one_check_alone_and_kernel_tasks_in_brief() -> None:
    every = tasks(ALL, Filters())
    assert tasks(ALL, Filters(), ("counts",)) == [task for task in every if task.check == "counts"]
    brief = tasks(ALL, Filters((), (), ("base",)), ("kernel",), brief=True)
    assert {task.case.form for task in brief} == {Form.BRIEF}
    whole = [task for task in every if task.check == "kernel" and task.case.proposal == "base"]
    assert [(t.case.arch, t.case.workload) for t in brief] == [(t.case.arch, t.case.workload) for t in whole]
    assert {task.case.form for task in whole} == {Form.KERNEL}


def test_filters_leave_what_they_name() -> None:
    chosen = tasks(ALL, Filters(("x86_64",), ("md5", "leaf"), ("base", "xray-memory-use")))
    assert {(t.case.arch, t.case.workload, t.case.proposal) for t in chosen} == {
        ("x86_64", workload, proposal) for workload in ("leaf", "md5") for proposal in ("base", "xray-memory-use")
    }
    with pytest.raises(InputError, match="no image to check is left by 'x86_64 pac'"):
        tasks(ALL, Filters(("x86_64",), (), ("pac",)))


def test_two_processes_find_what_one_finds() -> None:
    chosen = [task for task in tasks(QUICK, Filters()) if task.check in {"stores", "registers", "memory"}]
    here, beside = (results(run(chosen, workers)) for workers in (1, 2))
    assert [replace(result, seconds=0.0) for result in here] == [replace(result, seconds=0.0) for result in beside]
    assert {result.status for result in here} == {Status.PASSED}
    assert [(r.check, r.arch) for r in here] == [(c, a) for c in ("stores", "registers", "memory") for a in ARCH_NAMES]


def test_what_is_missing_to_build_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_case: Case) -> None:
        raise ToolchainError("no compiler")

    monkeypatch.setattr(Case, "subject", missing)
    with pytest.raises(ToolchainError, match="no compiler"):
        perform(Task("stores", Case("aarch64", "longjmp")))


# -- adding up --------------------------------------------------------------------------------------------


def test_parts_add_up() -> None:
    result = add_up("memory", "aarch64", [(Part({"writes": 2}), 1.0), (Part({"writes": 3}, (), ("a note",)), 0.5)])
    assert (result.status, result.seconds, result.counts) == (Status.PASSED, 1.5, {"writes": 5})
    assert result.detail == "2 images, 5 writes; a note"


def test_one_problem_fails_it() -> None:
    result = add_up("memory", "aarch64", [(Part({"writes": 2}), 1.0), (Part({"writes": 1}, ("wrong",)), 1.0)])
    assert (result.status, result.problems) == (Status.FAILED, ("wrong",))
    assert result.detail == "2 images, 3 writes, 1 problem"


def test_nothing_compared_is_a_failure_unless_there_is_a_reason() -> None:
    assert add_up("memory", "x86_64", [(Part({"writes": 0}), 1.0)]).status is Status.FAILED
    skipped = add_up("memory", "x86_64", [(Part({"writes": 0}, (), ("no such thing here",)), 1.0)])
    assert (skipped.status, skipped.detail) == (Status.SKIPPED, "1 image, 0 writes; no such thing here")


# -- a difference -----------------------------------------------------------------------------------------


def executed() -> tuple[Image, Plan, Execution]:
    image = assemble("aarch64", "FUNC test_main\nnop\nret\nEND test_main\n")
    plan = Plan((registry.unwinder("fp"), registry.unwinder("oracle")), ("boundary", "call"), Limits(1000, 60))
    return image, plan, run_reference(image, None, plan)


def test_two_equal_executions_differ_in_nothing() -> None:
    image, plan, execution = executed()
    assert differences(image, plan.unwinders, ("a", execution), ("b", execution)) == []


def test_the_first_pc_is_named_with_what_each_said_there() -> None:
    image, plan, execution = executed()
    (own,) = (i for i, t in enumerate(execution.tallies) if (t.mode, t.unwinder, t.pc) == (1, 1, t.pc))
    tallies = list(execution.tallies)
    gone_one = tallies.pop(own)
    found = differences(image, plan.unwinders, ("a", replace(execution, tallies=tuple(tallies))), ("b", execution))
    place = f"{gone_one.pc:#x} ({image.locate(gone_one.pc)}) oracle call"
    assert found == [f"{place}: a no such stops, b exact covers x1"]


def test_more_pcs_are_counted_and_order_does_not_matter() -> None:
    image, plan, execution = executed()
    turned = replace(execution, tallies=execution.tallies[::-1])
    assert differences(image, plan.unwinders, ("a", turned), ("b", execution)) == []
    half = tuple(replace(t, stops=t.stops + 1) if (t.mode, t.unwinder) == (0, 0) else t for t in execution.tallies)
    (line,) = differences(image, plan.unwinders, ("a", replace(execution, tallies=half)), ("b", execution))
    pcs = {t.pc for t in execution.tallies if (t.mode, t.unwinder) == (0, 0)}
    assert line.startswith(f"{min(pcs):#x} ({image.locate(min(pcs))}) fp boundary: a ")
    assert line.endswith(f"; {len(pcs) - 1} more pcs")


# -- being stopped ----------------------------------------------------------------------------------------


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: no workers are started")
def test_ctrl_c_prints_what_was_done_and_leaves_no_process() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from lab.cli import main; main()", "selftest"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until(lambda: len(children(process.pid)) >= 2)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "unwindlab: interrupted"
    assert "Traceback" not in said
    until(lambda: all(gone(worker) for worker in workers))
