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
from lab.errors import InputError
from lab.images.workloads import workload_by_name
from lab.job import Job, prepare, unsupported
from lab.machine.machine import Limits
from lab.runner import Progress
from lab.store.cost_rows import CostRow
from lab.workers import spread

LIMITS = Limits(instructions=1 << 40, seconds=600.0)
"""Of one execution: a workload's input ends it."""


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
        raise InputError(*dict.fromkeys(f"{job.title}: {reason}" for job, reason in reasons.items()))
    return [job for job, reason in reasons.items() if reason is None]


def collect(jobs: Sequence[Job], progress: Progress, *, check: bool = False) -> list[Found]:
    """What each of *jobs* costs, in their order; the first that fails ends it with its error."""
    asked = [Asked(job, check) for job in jobs]
    found: dict[int, Found] = {}
    for index, one in spread(measure_one, asked, lambda each: each.job.title):
        found[index] = one
        progress(len(found), len(jobs), jobs[index].title)
    return [found[index] for index in range(len(jobs))]


def measure_one(asked: Asked) -> Found:
    """Build, rewrite, execute, count, and check where that is asked for."""
    job = asked.job
    subject = prepare(job, registry.proposal(job.proposal), workload_by_name(job.workload))
    cost = measured_cost(job, subject)
    checked = check_job(job, subject) if asked.check else None
    sites = cost.sites.sites if cost.sites else ()
    return Found(cost.row, cost.functions, sites, cost.doubts, checked, cost.sizes, cost.base_sizes)
