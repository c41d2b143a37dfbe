"""The draws of all runs added up: shares and retries with intervals that take a run, not a check, for the unit.

Checks of one run are alike: they see one history.  So the interval of a share of checks is Clopper and Pearson's for
the effective number of checks, runs being the clusters (``lab.mutation.statistics`` names the sources).  A run has one
transition, so that of a share of transitions has as many clusters as transitions.

The mean number of retries is the one restricted to *tries* (Royston and Parmar, BMC Med. Res. Methodol. 13, 2013): a
transition that was not complete after *tries* tries counts as *tries* retries, so that the true mean is at least
that.  Its interval is the percentile bootstrap's over runs (Efron, 1979).  Where all n runs had the same number r,
resampling knows no variance: then another number has at most the probability u = 1 - 0.025**(1/n), and the mean is
between r(1 - u) and r(1 - u) + u * tries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lab.mutation.statistics import CONFIDENCE, Share, share
from lab.sampling.draw import Done, Drawn, Model

RESAMPLES = 4999


@dataclass(frozen=True)
class Mean:
    """A mean over *n* runs and its 95 % interval; nan without runs."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Row:
    """One design on one image.  Shares are of checks (refused, needless, wrong, preempted), of all tasks at all moments
    (running), or of transitions (completed, unsafe); ``needless`` is of all checks, too."""

    arch: str
    workload: str
    proposal: str
    design: str
    runs: int
    checks: int
    crashed: int
    running: Share
    preempted: Share
    refused: Share
    needless: Share
    wrong: Share
    completed: Share
    unsafe: Share
    retries: Mean

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self)


def rows(done: Sequence[Done]) -> list[Row]:
    """A row for each image and design, in order."""
    return [_row(one, design, drawn) for one in done for design, drawn in one.drawn.items()]


def _row(done: Done, design: str, drawn: list[Drawn]) -> Row:
    case, model = done.task.case, done.task.model

    def of_checks(name: str) -> Share:
        return share([hit for i, d in enumerate(drawn) for hit in _outcomes(i, getattr(d, name), d.checks)])

    return Row(
        case.arch,
        case.workload,
        case.proposal,
        design,
        len(drawn),
        sum(d.checks for d in drawn),
        sum(d.crashed for d in drawn),
        running=share([hit for i, d in enumerate(drawn) for hit in _outcomes(i, d.running, d.running + d.checks)]),
        preempted=of_checks("preempted"),
        refused=of_checks("refused"),
        needless=of_checks("needless"),
        wrong=of_checks("wrong"),
        completed=share([(i, d.retries is not None) for i, d in enumerate(drawn)]),
        unsafe=share([(i, d.unsafe) for i, d in enumerate(drawn)]),
        retries=mean_retries(drawn, model),
    )


def _outcomes(run: int, hits: int, of: int) -> list[tuple[int, bool]]:
    return [(run, number < hits) for number in range(of)]


def mean_retries(drawn: Sequence[Drawn], model: Model) -> Mean:
    """Of the transitions of *drawn*, restricted to the model's tries."""
    values = np.array([model.tries if d.retries is None else d.retries for d in drawn], float)
    if not len(values):
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    n, tail = len(values), (1 - CONFIDENCE) / 2
    value = float(values.mean())
    if np.ptp(values) == 0:
        other = 1 - tail ** (1 / n)
        return Mean(value, value * (1 - other), value * (1 - other) + other * model.tries, n)
    chance = np.random.default_rng(model.seed)
    means = values[chance.integers(0, n, (RESAMPLES, n))].mean(axis=1)
    low, high = np.quantile(means, (tail, 1 - tail))
    return Mean(value, float(low), float(high), n)
