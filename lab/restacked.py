"""More stops kept whole for a stored run: some of every function, where a run keeps the first of each image."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

from lab.again import subject_again
from lab.errors import InputError
from lab.job import JobResult, run_job
from lab.store import Run
from lab.store.rows import StackRow

MOST = 20_000
"""Differing stops looked at, of each image, unwinder and mode."""

Progress = Callable[[int, int, str], None]


def with_stacks(run: Run, each: int, progress: Progress = lambda done, total, what: None) -> Run:
    """*run* with the first *each* differing stops of every function, unwinder and mode, its images executed again.

    InputError where an image or its verdicts are not what the run has."""
    cells = run.result.cells
    keys = list(dict.fromkeys(cell.key[:4] for cell in cells if cell.stops))
    stacks: list[StackRow] = []
    for done, key in enumerate(keys):
        job, _ = subject_again(run, key)
        progress(done, len(keys), job.title)
        own = [cell for cell in cells if cell.key[:4] == key]
        names = run.result.experiment.unwinders or list(dict.fromkeys(cell.unwinder for cell in own))
        engine = own[0].engine if len({cell.engine for cell in own}) == 1 else job.engine
        found = run_job(dataclasses.replace(job, unwinders=tuple(names), stacks=MOST, engine=engine))
        _compare(run, found)
        stacks += _first(found.stacks, each)
    return dataclasses.replace(run, result=dataclasses.replace(run.result, stacks=stacks))


def _compare(run: Run, found: JobResult) -> None:
    stored = {cell.key: (cell.stops, cell.verdicts) for cell in run.result.cells}
    for cell in found.cells:
        if stored.get(cell.key) != (cell.stops, cell.verdicts):
            where = "/".join(cell.key)
            raise InputError(
                f"run {run.run_id}: {where} has other verdicts today; unwindlab rerun {run.run_id} says why"
            )


def _first(rows: list[StackRow], each: int) -> list[StackRow]:
    seen: Counter[tuple[str, str, str]] = Counter()
    kept = []
    for row in rows:
        place = (row.mode, row.unwinder, row.location.rpartition("+")[0])
        seen[place] += 1
        if seen[place] <= each:
            kept.append(row)
    return kept
