"""Which checks run on which images, at three lengths, and all of them run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from lab import registry
from lab.errors import LabError, RefusedError
from lab.job import Subject
from lab.selftest.cases import SMALL, Case, Filters, Form, all_workloads, every, nothing_left, of
from lab.selftest.counts import counts
from lab.selftest.engines import engines
from lab.selftest.kernel import kernel
from lab.selftest.memory import memory
from lab.selftest.registers import registers
from lab.selftest.results import Part, Result, add_up
from lab.selftest.stores import stores
from lab.workers import spread

QUICK, DEFAULT, ALL = "quick", "default", "all"
CHECKS: dict[str, Callable[[Case, Subject], Part]] = {
    "stores": stores,
    "registers": registers,
    "memory": memory,
    "engines": engines,
    "counts": counts,
    "kernel": kernel,
}
"""In the order in which they are reported."""

_SOME = ("early", "longjmp", "smash", "tree")
"""Calls from many places, unwinding by hand, records overwritten, recursion."""
_SHADOWED = ("base", "pac-register-use", "xray-memory-check", "xray-parallel-record")
_STORING = ("early",)
"""The workload whose stores are checked under every proposal: inserted code stores too."""


@dataclass(frozen=True)
class Task:
    """One check on one image: plain data, for any process."""

    check: str
    case: Case

    @property
    def title(self) -> str:
        return f"{self.check} {self.case.title}"


@dataclass(frozen=True)
class Done:
    """A task's part and the seconds it took."""

    task: Task
    part: Part
    seconds: float


def tasks(level: str, filters: Filters, checks: tuple[str, ...] = (), *, brief: bool = False) -> list[Task]:
    """What is checked at *level* (QUICK, DEFAULT or ALL: every check on every image there is).

    *checks*: these alone, if any are given; *brief*: no kernel task in full.  InputError where nothing is left.
    """
    plan = {check: cases for check, cases in _plan(level).items() if check in (checks or CHECKS)}
    if brief and "kernel" in plan:
        plan["kernel"] = [replace(case, form=Form.BRIEF) for case in plan["kernel"]]
    chosen = [Task(check, case) for check, cases in plan.items() for case in filters.choose(cases)]
    if not chosen:
        raise nothing_left(filters)
    return chosen


def _plan(level: str) -> dict[str, list[Case]]:
    if level == QUICK:
        small = of(SMALL, ("base",))
        one = of(SMALL[:1], ("base",))
        return {
            "stores": small,
            "registers": one,
            "memory": one,
            "engines": of(SMALL[:1], ("xray-memory-check",)),
            "counts": small,
            "kernel": of(SMALL[:1], ("base",), Form.BRIEF),
        }
    if level == ALL:
        others = [case for case in every(Form.BRIEF) if case.proposal != "base"]
        return dict.fromkeys(CHECKS, every()) | {"kernel": [*all_workloads(form=Form.KERNEL), *others]}
    writing = [*all_workloads(), *of(_STORING, registry.names().default_proposals)]
    some = of(_SOME, _SHADOWED)
    return {
        "stores": writing,
        "registers": of(_SOME, ("base",)),
        "memory": writing,
        "engines": some,
        "counts": some,
        "kernel": of(_SOME, ("base",), Form.BRIEF),
    }


def perform(task: Task) -> Done:
    """Run one task.  What is wrong with the lab is a problem of its part; what is missing to build is raised."""
    began = time.monotonic()
    try:
        subject = task.case.subject()
    except RefusedError as error:  # by the rewriter, by name: there is no image to check
        why = error.lines[0].rpartition(".elf: ")[2]
        return Done(task, Part(notes=(f"no rewrite of {task.case.workload}: {why}",)), time.monotonic() - began)
    try:
        part = CHECKS[task.check](task.case, subject)
    except Exception as error:  # whatever the lab does wrong here is what is looked for
        kind = "" if isinstance(error, LabError) else f"{type(error).__name__}: "
        part = Part({}, (f"{task.case.title}: {task.check}: {kind}{' '.join(str(error).split())}",))
    return Done(task, part, time.monotonic() - began)


def run(chosen: list[Task], workers: int = 0) -> Iterator[Done]:
    """Each of *chosen* as it is done, on *workers* processes (0: one a core; 1: here)."""
    for _, done in spread(perform, chosen, lambda task: task.title, workers):
        yield done


def results(done: Iterable[Done]) -> list[Result]:
    """What was done, added up by check and architecture, in a fixed order whatever came first."""
    found = sorted(done, key=lambda d: d.task.case)
    return [
        add_up(check, arch, [(d.part, d.seconds) for d in found if (d.task.check, d.task.case.arch) == (check, arch)])
        for check in CHECKS
        for arch in registry.names().arches
        if any((d.task.check, d.task.case.arch) == (check, arch) for d in found)
    ]
