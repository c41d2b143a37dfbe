"""Stops that a stored run has kept: listed, and explained on the same image, built again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import registry
from lab.engine.plan import Plan
from lab.errors import InputError
from lab.explain import Explanation, Where, explain_stop
from lab.images.workloads import workload_by_name
from lab.job import Job, prepare
from lab.machine.machine import Limits
from lab.store import Run
from lab.store.rows import StackRow
from lab.unwind.api import MODES

SHOWN = 40
"""Stops listed."""

_WIDTHS = (8, 12, 20, 9, 25)
"""Columns of the list, at least."""


@dataclass(frozen=True)
class Kept:
    """One stop, and what each unwinder whose stack differs there said."""

    row: StackRow
    said: tuple[str, ...]

    @property
    def place(self) -> tuple[str, ...]:
        """Where it is, as the list has it in columns."""
        return self.row.arch, self.row.workload, self.row.proposal, self.row.mode, self.row.location


def kept_stops(run: Run) -> list[Kept]:
    """The stops of *run*, in the order of its images, each once; number n of the list is STOP n + 1."""
    found: dict[tuple[str, ...], list[StackRow]] = {}
    for row in run.result.stacks:
        key = (row.arch, row.compiler, row.workload, row.proposal, row.mode, f"{row.stop:020}")
        found.setdefault(key, []).append(row)
    return [Kept(rows[0], tuple(f"{r.unwinder} {r.verdict}" for r in rows)) for _, rows in sorted(found.items())]


def pick(run: Run, text: str) -> Kept:
    """The stop called *text*: its number in the list, or the first at that place.  InputError where there is none."""
    stops = kept_stops(run)
    if not stops:
        raise InputError(f"run {run.run_id}: keeps no stacks: every verdict is exact, or it was run with --stacks 0")
    if text.isdecimal():
        if not 1 <= int(text) <= len(stops):
            raise InputError(f"run {run.run_id}: no stop {text}; it has 1 to {len(stops)}")
        return stops[int(text) - 1]
    for kept in stops:
        if text in (kept.row.location, f"{kept.row.pc:#x}"):
            return kept
    raise InputError(f"run {run.run_id}: no kept stop at '{text}'; unwindlab explain {run.run_id} lists them")


def listing(run: Run) -> str:
    """The stops of *run*, numbered."""
    stops = kept_stops(run)
    shown = stops[:SHOWN]
    columns = zip(_WIDTHS, *(kept.place for kept in shown), strict=True)
    widths = [max(least, 1 + max(map(len, column), default=0)) for least, *column in columns]
    lines = [
        f"{number:>4}  {''.join(map(str.ljust, kept.place, widths))}{'; '.join(kept.said)}"
        for number, kept in enumerate(shown, 1)
    ]
    more = [f"      {len(stops) - SHOWN} more"] if len(stops) > SHOWN else []
    return "\n".join([f"{len(stops)} stops of run {run.run_id} at which some stack differs", *lines, *more])


def explain_kept(run: Run, kept: Kept, unwinders: list[str]) -> Explanation:
    """*kept* on its image, built again; *unwinders*: names (none: those of the run).

    InputError where the image is not what the run was made with."""
    row, experiment = kept.row, run.result.experiment
    for file in experiment.files:
        registry.add_file(Path(file))
    limits = Limits(experiment.max_instructions, experiment.max_seconds)
    names = unwinders or experiment.unwinders
    # All the run's modes: they say whether its images have the small kernel, and which interrupts it took.
    modes = tuple(experiment.modes) or tuple(MODES)
    job = Job(row.arch, row.compiler, row.workload, row.proposal, (), modes, experiment.size, limits, 0)
    interrupts = Plan((), modes, limits, seed=experiment.seed).interrupts
    subject = prepare(job, registry.proposal(row.proposal), workload_by_name(row.workload))
    then = next(
        i.sha256 for i in run.result.images
        if (i.arch, i.compiler, i.workload, i.proposal) == (row.arch, row.compiler, row.workload, row.proposal)
    )  # fmt: skip
    if subject.image.sha256 != then:
        raise InputError(f"run {run.run_id}: {job.title} is another image today; unwindlab rerun {run.run_id} says why")
    where = Where(row.mode, row.pc, row.location, stop=row.stop, interrupts=interrupts)
    return explain_stop(subject.image, subject.rewrite, [registry.unwinder(name) for name in names], where, limits)
