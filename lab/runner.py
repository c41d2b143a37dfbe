"""Expands an experiment into jobs, runs them on the machine's cores, and collects their rows in order."""

from __future__ import annotations

from collections.abc import Callable

from lab import registry
from lab.experiment import Experiment
from lab.images.toolchain import find_compiler
from lab.job import Job, JobResult, run_job
from lab.machine.machine import Limits
from lab.store.rows import RunResult
from lab.workers import spread

Progress = Callable[[int, int, str], None]


def expand(experiment: Experiment) -> list[Job]:
    """One job per (architecture, compiler, workload, proposal); an empty list in the experiment means all.

    A proposal that is one compiler's own is built by that one, once, whatever compilers the experiment lists."""
    known = registry.names()
    limits = Limits(experiment.max_instructions, experiment.max_seconds)
    jobs = [
        Job(
            arch,
            registry.proposal(proposal).compiler or compiler,
            workload,
            proposal,
            tuple(experiment.unwinders or known.unwinders),
            tuple(experiment.modes or known.modes),
            experiment.size,
            limits,
            experiment.stacks,
            seed=experiment.seed,
            files=tuple(experiment.files),
        )
        for arch in experiment.arches or known.arches
        for compiler in experiment.compilers or known.compilers
        for workload in experiment.workloads or [name for name, _, _ in known.workloads]
        for proposal in experiment.proposals or known.default_proposals
    ]
    return list(dict.fromkeys(jobs))


def run(experiment: Experiment, progress: Progress = lambda done, total, what: None) -> RunResult:
    """Run every job.  The first job that fails ends the run with its error: nothing partial is returned."""
    jobs = expand(experiment)
    results = [JobResult() for _ in jobs]
    for done, (index, result) in enumerate(spread(run_job, jobs, lambda job: job.title), start=1):
        results[index] = result
        progress(done, len(jobs), jobs[index].title)
    return RunResult(
        experiment=experiment,
        cells=[cell for r in results for cell in r.cells],
        verdicts=[row for r in results for row in r.verdicts],
        stacks=[row for r in results for row in r.stacks],
        costs=[row for r in results for row in r.costs],
        images=[row for r in results for row in r.images],
        compilers=[_compiler(name) for name in sorted({job.compiler for job in jobs})],
        notes=[note for r in results for note in r.notes],
        code=[row for r in results for row in r.code],
    )


def _compiler(name: str) -> dict[str, str]:
    return {"name": name, "version": find_compiler(name).version}
