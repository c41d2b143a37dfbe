"""A job measured, as the tests here want it."""

from __future__ import annotations

from lab import registry
from lab.cost.jobs import measured_cost
from lab.cost.measure import Cost
from lab.images.workloads import workload_by_name
from lab.job import Job, Subject, prepare
from lab.machine.machine import Limits


def job(arch: str, workload: str, proposal: str) -> Job:
    """A small job without unwinders."""
    return Job(arch, "clang", workload, proposal, (), ("call",), "small", Limits(), 0)


def subject(asked: Job) -> Subject:
    """Its image."""
    return prepare(asked, registry.proposal(asked.proposal), workload_by_name(asked.workload))


def measured(arch: str, workload: str, proposal: str) -> Cost:
    """Its cost."""
    asked = job(arch, workload, proposal)
    return measured_cost(asked, subject(asked))
