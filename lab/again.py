"""The images of a stored run, built again: its rows name them, and their hash says whether they are the same."""

from __future__ import annotations

from pathlib import Path

from lab import registry
from lab.errors import InputError
from lab.images.workloads import workload_by_name
from lab.job import Job, Subject, prepare
from lab.machine.machine import Limits
from lab.store import Run
from lab.unwind.api import MODES

ImageKey = tuple[str, str, str, str]
"""(arch, compiler, workload, proposal)."""


def subject_again(run: Run, key: ImageKey) -> tuple[Job, Subject]:
    """The image *key* of *run*, and the job that measured it, without unwinders; modes in the order of MODES.

    InputError where the image is not what the run was made with today."""
    arch, compiler, workload, proposal = key
    experiment = run.result.experiment
    for file in experiment.files:
        registry.add_file(Path(file))
    limits = Limits(experiment.max_instructions, experiment.max_seconds)
    ran = {cell.mode for cell in run.result.cells if cell.key[:4] == key}
    modes = tuple(mode for mode in MODES if mode in ran)
    job = Job(arch, compiler, workload, proposal, (), modes, experiment.size, limits, 0, seed=experiment.seed)
    subject = prepare(job, registry.proposal(proposal), workload_by_name(workload))
    then = next(i.sha256 for i in run.result.images if (i.arch, i.compiler, i.workload, i.proposal) == key)
    if subject.image.sha256 != then:
        raise InputError(f"run {run.run_id}: {job.title} is another image today; unwindlab rerun {run.run_id} says why")
    return job, subject
