"""Costs of many pairs at once: which there are, and what each found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab import registry
from lab.arch import arch_by_name
from lab.cost.check import Checked, check_job
from lab.cost.functions import FunctionCost
from lab.cost.jobs import measured_cost
from lab.cost.sites import Site
from lab.cost.sizes import Sizes
from lab.errors import InputError, LabError
from lab.images.workloads import workload_by_name
from lab.job import Job, prepare, unsupported
from lab.machine.machine import Limits
from lab.runner import Progress
from lab.store.cost_rows import CostRow
from lab.workers import spread

LIMITS = Limits(instructions=1 << 40, seconds=600.0)
"""Of one execution: a workload's input ends it."""
FEW = 4
"""So many are done before another process has started."""


@dataclass(frozen=True)
class Found:
    """The cost of one pair, and how its counts were checked (None where they were not)."""

    row: CostRow
    functions: list[FunctionCost]
    sites: tuple[Site, ...]
    doubts: list[str]
    checked: Checked | None
    sizes: Sizes
    base_sizes: Sizes


@dataclass(frozen=True)
class Failed:
    """A pair without a cost, and why: it cannot be built, or its counts contradict each other."""

    title: str
    error: LabError

    def titled(self) -> LabError:
        """The error, every line of it with the pair's name."""
        own = (line if line.startswith(self.title) else f"{self.title}: {line}" for line in self.error.lines)
        return type(self.error)(*own)


@dataclass(frozen=True)
class Asked:
    """One job, and whether its counts are to be checked."""

    job: Job
    check: bool


def chosen(arches: Sequence[str], workloads: Sequence[str], proposals: Sequence[str], size: str) -> list[Job]:
    """The pairs of these names that exist, in the registry's order; an empty list means all.

    InputError (exit 2) for an unknown name, and where no pair is left, with the reasons."""
    known = registry.names()
    jobs = [
        Job(arch.name, registry.proposal(name).compiler or "clang", workload, name, (), ("call",), size, LIMITS, 0)
        for arch in map(arch_by_name, dict.fromkeys(arches or known.arches))
        for workload in dict.fromkeys(workloads or [found for found, _, _ in known.workloads])
        for name in dict.fromkeys(proposals or known.proposals)
        if workload_by_name(workload)
    ]
    reasons = {job: unsupported(job) for job in jobs}
    if all(reasons.values()):
        raise InputError(*dict.fromkeys(f"{job.arch} {job.proposal}: {reason}" for job, reason in reasons.items()))
    return [job for job, reason in reasons.items() if reason is None]


def collect(jobs: Sequence[Job], progress: Progress, *, check: bool = False) -> tuple[list[Found], list[Failed]]:
    """What each of *jobs* costs, and those that failed, both in their order: one that fails ends none of the others."""
    asked = [Asked(job, check) for job in jobs]
    done: dict[int, Found | Failed] = {}
    workers = 1 if len(asked) <= FEW else 0
    for index, one in spread(measure_one, asked, lambda each: each.job.title, workers):
        done[index] = one
        progress(len(done), len(jobs), jobs[index].title)
    every = [done[index] for index in range(len(jobs))]
    return [one for one in every if isinstance(one, Found)], [one for one in every if isinstance(one, Failed)]


def failure(failed: Sequence[Failed]) -> LabError | None:
    """All of them in one error, of the gravest kind among them; None where there are none."""
    if not failed:
        return None
    errors = [one.titled() for one in failed]
    gravest = max(errors, key=lambda error: error.exit_code)
    return type(gravest)(*(line for error in errors for line in error.lines))


def measure_one(asked: Asked) -> Found | Failed:
    """Build, rewrite, execute, count, and check where that is asked for."""
    try:
        return _measured(asked)
    except LabError as error:
        return Failed(asked.job.title, error)


def _measured(asked: Asked) -> Found:
    job = asked.job
    subject = prepare(job, registry.proposal(job.proposal), workload_by_name(job.workload))
    cost = measured_cost(job, subject)
    checked = check_job(job, subject) if asked.check else None
    sites = cost.sites.sites if cost.sites else ()
    return Found(cost.row, cost.functions, sites, cost.doubts, checked, cost.sizes, cost.base_sizes)
