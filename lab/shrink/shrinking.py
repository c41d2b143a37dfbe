"""From a kept stop of a run to the smallest program that still shows it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lab import registry
from lab.arch import arch_by_name
from lab.engine.plan import Plan
from lab.errors import InputError
from lab.images.toolchain import find_compiler
from lab.images.workloads import workload_by_name
from lab.job import Job, prepare
from lab.kept import Kept
from lab.machine.machine import Limits
from lab.shrink.hunt import Found, Hunt, Hunter
from lab.shrink.program import Program, flattened, forget
from lab.shrink.search import Search
from lab.store import Run
from lab.store.rows import StackRow


@dataclass(frozen=True)
class Shrunk:
    """What became of one stop.  ``before`` and ``after``: (lines of source, instructions executed)."""

    run: str
    stop: str
    unwinder: str
    mode: str
    program: Program
    found: Found
    before: tuple[int, int]
    after: tuple[int, int]
    tried: int
    expired: bool
    compiler: str


def row_of(run: Run, kept: Kept, unwinder: str | None) -> StackRow:
    """The stack of *unwinder* that was kept at that stop; InputError where it was exact there or is not named."""
    one = kept.row
    key = (one.arch, one.compiler, one.workload, one.proposal, one.mode, one.stop)
    rows = [r for r in run.result.stacks if (r.arch, r.compiler, r.workload, r.proposal, r.mode, r.stop) == key]
    names = [row.unwinder for row in rows]
    if unwinder is None and len(rows) == 1:
        return rows[0]
    if unwinder is None:
        raise InputError(f"{one.location}: {', '.join(names)} differ there; say which with --unwinder")
    if unwinder not in names:
        raise InputError(f"{one.location}: no stack of '{unwinder}' was kept there; known: {', '.join(names)}")
    return rows[names.index(unwinder)]


def shrink(
    run: Run,
    row: StackRow,
    seconds: float,
    progress: Callable[[int, int, str], None] = lambda kept, tried, what: None,
) -> Shrunk:
    """*row* of *run*, shrunk for at most about *seconds*.

    InputError where the stop cannot be reproduced: the run's image is another today, or the program in one piece no
    longer shows it."""
    for file in run.result.experiment.files:
        registry.add_file(Path(file))
    deadline = time.monotonic() + seconds
    first, program = _original(run, row), _program(run, row)
    limits = Limits(run.result.experiment.max_instructions, run.result.experiment.max_seconds)
    hunt = Hunt(registry.unwinder(row.unwinder), row.mode, limits, program.injection, first.target)
    search = Search(hunt, deadline, progress)
    try:
        begun = search.begin(replace(program, size="small")) or search.begin(program)
        if begun is None:
            raise InputError(
                f"run {run.run_id}: {row.location} of {row.workload}, its sources in one piece, no longer shows it: "
                "nothing to begin from; unwindlab explain shows the stop itself"
            )
        small = search.shrunk(begun)
        found = search.still(small)
    finally:
        forget(program.stem)
    assert found is not None
    return Shrunk(
        run=run.run_id,
        stop=f"{row.location} of {row.workload} ({row.arch}, {row.proposal}, {row.mode})",
        unwinder=row.unwinder,
        mode=row.mode,
        program=replace(small, stem=Program.stem),
        found=found,
        before=(len(program.source.splitlines()), first.instructions),
        after=(len(small.source.splitlines()), found.instructions),
        tried=search.tried,
        expired=search.expired,
        compiler=find_compiler(row.compiler).describe(),
    )


def _job(run: Run, row: StackRow) -> Job:
    experiment = run.result.experiment
    limits = Limits(experiment.max_instructions, experiment.max_seconds)
    modes = tuple(experiment.modes)
    return Job(row.arch, row.compiler, row.workload, row.proposal, (), modes, experiment.size, limits, 0,
               seed=experiment.seed)  # fmt: skip


def _original(run: Run, row: StackRow) -> Found:
    """The stop as the run saw it."""
    job = _job(run, row)
    subject = prepare(job, registry.proposal(row.proposal), workload_by_name(row.workload))
    then = next(
        i.sha256 for i in run.result.images
        if (i.arch, i.compiler, i.workload, i.proposal) == (row.arch, row.compiler, row.workload, row.proposal)
    )  # fmt: skip
    if subject.image.sha256 != then:
        raise InputError(f"run {run.run_id}: {job.title} is another image today; unwindlab rerun {run.run_id} says why")
    interrupts = Plan((), job.modes, job.limits, seed=job.seed).interrupts
    hunt = Hunt(registry.unwinder(row.unwinder), row.mode, job.limits, interrupts, stop=row.stop)
    found = Hunter(subject.image, subject.rewrite, hunt).first()
    if found is None or found.target.verdict != row.verdict:
        said = "is not reached" if found is None else f"is {found.target.verdict} today"
        raise InputError(f"run {run.run_id}: {row.location} was {row.verdict} for {row.unwinder} and {said}")
    return found


def _program(run: Run, row: StackRow) -> Program:
    """The workload of *row* in one piece."""
    job, workload = _job(run, row), workload_by_name(row.workload)
    proposal, arch = registry.proposal(row.proposal), arch_by_name(row.arch)
    interrupts = Plan((), job.modes, job.limits, seed=job.seed).interrupts
    return Program(
        arch=row.arch,
        source=flattened(workload, arch, find_compiler(row.compiler), proposal.compiler_flags(row.arch)),
        suffix=workload.path.suffix,
        compiler=row.compiler,
        proposal=row.proposal,
        flags=workload.flags,
        musl=workload.musl,
        floating=workload.floating,
        runtime=job.runtime,
        size=job.size,
        interrupts=(interrupts.each, interrupts.every, interrupts.seed) if interrupts else (),
        files=tuple(run.result.experiment.files),
        stem=f"shrunk{os.getpid()}",
    )
