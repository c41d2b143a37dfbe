"""Expands an experiment into jobs, runs them on the machine's cores, and collects their rows in order."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from lab import registry
from lab.errors import EngineError, LabError
from lab.experiment import Experiment
from lab.images.toolchain import find_compiler
from lab.interrupts import held_from_children
from lab.job import Job, JobResult, run_job
from lab.machine.machine import Limits
from lab.store.rows import RunResult

Progress = Callable[[int, int, str], None]


def expand(experiment: Experiment) -> list[Job]:
    """One job per (architecture, compiler, workload, proposal); an empty list in the experiment means all."""
    known = registry.names()
    limits = Limits(experiment.max_instructions, experiment.max_seconds)
    return [
        Job(
            arch,
            compiler,
            workload,
            proposal,
            tuple(experiment.unwinders or known.unwinders),
            tuple(experiment.modes or known.modes),
            experiment.size,
            limits,
            experiment.stacks,
        )
        for arch in experiment.arches or known.arches
        for compiler in experiment.compilers or known.compilers
        for workload in experiment.workloads or [name for name, _, _ in known.workloads]
        for proposal in experiment.proposals or known.proposals
    ]


def run(experiment: Experiment, progress: Progress = lambda done, total, what: None) -> RunResult:
    """Run every job.  The first job that fails ends the run with its error: nothing partial is returned."""
    jobs = expand(experiment)
    results = [JobResult() for _ in jobs]
    for done, (index, result) in enumerate(_results(jobs), start=1):
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
    )


def _compiler(name: str) -> dict[str, str]:
    return {"name": name, "version": find_compiler(name).version}


def _results(jobs: list[Job]) -> Iterator[tuple[int, JobResult]]:
    """(index, result) as jobs finish.  One job, or one core, runs here; more run in spawned workers."""
    workers = min(len(jobs), len(os.sched_getaffinity(0)))
    if workers <= 1:
        for index, job in enumerate(jobs):
            yield index, run_job(job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_with_parent) as pool:
        try:
            with held_from_children():
                futures: dict[Future[JobResult], int] = {pool.submit(run_job, job): i for i, job in enumerate(jobs)}
            for future in as_completed(futures):
                yield futures[future], _value(future, jobs[futures[future]])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.kill()
            raise


def _leave_with_parent() -> None:
    """A worker whose parent is gone, however it went, would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _value(future: Future[JobResult], job: Job) -> JobResult:
    try:
        return future.result()
    except LabError:
        raise
    except BrokenProcessPool:
        raise EngineError(f"{job.title}: a worker process died; its job is lost") from None
