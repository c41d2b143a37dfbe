"""The tables of samples as plain ASCII in 70 columns."""

from __future__ import annotations

from collections.abc import Sequence

from lab.mutation.statistics import Share
from lab.mutation.text import interval
from lab.report import text
from lab.report.text import arch_title, count, mailable, share, wrap
from lab.sampling.draw import Done, Model
from lab.sampling.summary import Mean, Row

_CHECKS = ("refused", "95 %", "needless", "wrong", "95 %")
_TRANSITIONS = ("completed", "retries", "95 %", "unsafe", "95 %")
_LEGEND = (
    "Time is instructions retired on the lab's one processor; the checker is on another one, costs no time, and cannot "
    "check the task that runs. refused: of the checks that were made; needless: refused, though the walk would have "
    "been exact; wrong: let through with a trace that misses a caller. completed: transitions in which every task was "
    "let through within the tries; retries: mean number after the first try, one that did not complete counting as "
    "all tries; unsafe: some task was let through on a wrong trace. 95 %: Clopper-Pearson for the effective size, runs "
    "being the clusters (<=: one-sided, none seen); of retries the bootstrap over runs. oracle: never refuses; what it "
    "waits for is tasks that run."
)


def render(
    done: Sequence[Done], rows: Sequence[Row], model: Model, left_out: Sequence[tuple[str, str]], repro: str
) -> str:
    """The tables of each image, what the words mean, what was *left_out* (and why), and the line to do it again."""
    lines: list[str] = []
    for one in done:
        case = one.task.case
        own = [
            row for row in rows if (row.arch, row.workload, row.proposal) == (case.arch, case.workload, case.proposal)
        ]
        if own:
            lines += [*_image(one, own, model), ""]
    lines += wrap(_LEGEND, 0)
    lines += [line for name, reason in left_out for line in wrap(f"{name}: left out: {reason}")]
    return mailable([*lines, "", *wrap(f"repro: {repro}")])


def _image(one: Done, rows: list[Row], model: Model) -> list[str]:
    """Two tables: of checks, and of transitions."""
    case, first = one.task.case, rows[0]
    mean = sum(one.instructions) // len(one.instructions)
    title = (
        f"{arch_title(case.arch)}, {case.workload}, {case.proposal}: {count(model.runs, 'run')} of {mean} instructions "
        f"in the mean, the timer every {model.tick}; {count(first.checks, 'check')}, {_of(first.preempted)} of them of "
        f"preempted tasks; {_of(first.running)} more were of the task that runs"
    )
    lines = wrap(title)
    lines += text.table(_CHECKS, [text.Line(" " + row.design, _check_cells(row)) for row in rows])
    lines += [f" {row.design}: {count(row.crashed, 'check')} crashed" for row in rows if row.crashed]
    lines += wrap(f"transitions: one a run, at most {model.tries} tries, {model.period} instructions apart")
    return lines + text.table(_TRANSITIONS, [text.Line(" " + row.design, _transition_cells(row)) for row in rows])


def _check_cells(row: Row) -> tuple[str, ...]:
    return (_of(row.refused), interval(row.refused), _of(row.needless), _of(row.wrong), interval(row.wrong))


def _transition_cells(row: Row) -> tuple[str, ...]:
    return (_of(row.completed), *_mean(row.retries), _of(row.unsafe), interval(row.unsafe))


def _of(found: Share) -> str:
    return share(found.count, found.n)


def _mean(found: Mean) -> tuple[str, str]:
    return f"{found.value:.2f}", f"{found.low:.2f} - {found.high:.2f}"
