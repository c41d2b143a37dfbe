"""What a job costs: its image, its baseline's and the one it was rewritten from, each executed and counted."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from lab import registry
from lab.cost.measure import Cost, Measured, cost_of
from lab.cost.profile import Profile, profile
from lab.cost.sizes import sizes
from lab.images.workloads import workload_by_name
from lab.job import Job, Subject, check_outcome, prepare


def measured_cost(job: Job, subject: Subject) -> Cost:
    """What *subject* costs beside its baseline, with where every added instruction is."""
    base_job = replace(job, proposal=subject.proposal.baseline, unwinders=(), stacks=0)
    counted = profiled(job, subject)
    source = _as_compiled(replace(job, unwinders=(), stacks=0)) if subject.proposal.rewrite else counted
    ours = Measured(counted, subject.text_bytes, sizes(subject.image, subject.rewrite, source.image))
    key = {"arch": job.arch, "compiler": job.compiler, "workload": job.workload, "proposal": job.proposal}
    return cost_of(key | {"baseline": base_job.proposal}, _baseline(base_job), source, ours, subject.rewrite)


@lru_cache(maxsize=64)
def _baseline(job: Job) -> Measured:
    """Counts and bytes of code of a baseline: every proposal of the same program asks for them again."""
    subject = prepare(job, registry.proposal(job.proposal), workload_by_name(job.workload))
    return Measured(profiled(job, subject), subject.text_bytes, sizes(subject.image, None, subject.image))


@lru_cache(maxsize=16)
def _as_compiled(job: Job) -> Profile:
    """The program as it is compiled for a proposal, before the rewrite."""
    proposal = replace(registry.proposal(job.proposal), rewrite=None)
    return profiled(job, prepare(job, proposal, workload_by_name(job.workload)))


def profiled(job: Job, subject: Subject) -> Profile:
    """*subject* executed and counted; InputError or EngineError where it does not end as it should."""
    found = profile(subject.image, subject.rewrite.layout if subject.rewrite else None, job.limits)
    check_outcome(subject, job, found.outcome)
    return found
