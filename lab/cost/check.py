"""Counts against independent ones: instructions by pc as qemu-user executes them, and everything by plain hooks."""

from __future__ import annotations

from dataclasses import dataclass

from lab.cost.jobs import profiled
from lab.cost.profile import Profile, profile_plainly
from lab.cost.qemu import count_by_qemu, qemu_for
from lab.errors import EngineError
from lab.images.workloads import workload_by_name
from lab.job import Job, Subject

PLAIN = "plain hooks"


@dataclass(frozen=True)
class Checked:
    """What confirmed the counts of one execution: ``by`` the names of the counters, ``instructions`` compared by each.

    ``without``: why qemu was not among them ("" = it was)."""

    by: tuple[str, ...]
    instructions: int
    pcs: int
    without: str = ""


def check_job(job: Job, subject: Subject) -> Checked:
    """The counts of *subject* are the same by other counters.  EngineError names the first difference."""
    native = profiled(job, subject)
    layout = subject.rewrite.layout if subject.rewrite else None
    plain = profile_plainly(subject.image, layout, job.limits)
    if problem := differs(native, plain):
        raise EngineError(f"{job.title}: counts differ from those of {PLAIN}: {problem}")
    why = ""
    by = [PLAIN]
    found = qemu_for(job.arch)
    if found is None:
        why = f"qemu-{job.arch} is not installed"
    elif layout is not None and layout.provider != "image":
        why = "the environment has to provide the shadow stack"
    elif workload_by_name(job.workload).runtime == "kernel":
        why = "it runs in the small kernel, at a privilege that a user emulator has not"
    else:
        _check_by_qemu(job, native)
        by.append(f"qemu-{job.arch} {found[1]}")
    return Checked(tuple(by), native.totals.instructions, len(native.at), why)


def differs(one: Profile, other: Profile) -> str:
    """Where two profiles of an image differ, "" where they are the same."""
    for pc in sorted({*one.at, *other.at}):
        if one.at.get(pc) != other.at.get(pc):
            return f"{one.image.locate(pc)}: {one.at.get(pc)} and {other.at.get(pc)}"
    if one.edges != other.edges:
        return "edges"
    return "" if one.last == other.last else "the last instruction"


def _check_by_qemu(job: Job, native: Profile) -> None:
    found = count_by_qemu(native.image, job.limits.seconds)
    ours = {pc: amounts.instructions for pc, amounts in native.at.items()}
    for pc in sorted({*ours, *found.executions}):
        if ours.get(pc, 0) != found.executions.get(pc, 0):
            counted = f"{ours.get(pc, 0)} executions, {found.executions.get(pc, 0)} in qemu"
            raise EngineError(f"{job.title}: {native.image.locate(pc)}: {counted}")
    if (found.output, found.status) != (native.outcome.output, native.outcome.status):
        raise EngineError(f"{job.title}: another result in qemu: {found.status} {found.output!r}")
