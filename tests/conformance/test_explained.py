"""A stop that a violation names is explained as the run saw it, whatever stop modes the run had."""

from __future__ import annotations

import pytest

from lab import runner
from lab.experiment import Experiment
from lab.kept import Kept, explain_kept, kept_stops
from lab.store import Run, make_run
from tests.fake_run import PROVENANCE

MODES = ("boundary", "call", "inject", "blocked")


@pytest.fixture(scope="module")
def run() -> Run:
    """All four modes, in the small kernel; `guess` is wrong in each."""
    experiment = Experiment(
        arches=["aarch64"], workloads=["noreturn"], proposals=["base"], unwinders=["guess"], modes=list(MODES),
        size="small", stacks=3,
    )  # fmt: skip
    return make_run(runner.run(experiment), PROVENANCE)


@pytest.mark.parametrize("mode", MODES)
def test_the_stop_is_the_same(run: Run, mode: str) -> None:
    stops: list[Kept] = [stop for stop in kept_stops(run) if stop.row.mode == mode]
    assert stops
    row = stops[-1].row
    found = explain_kept(run, stops[-1], ["guess"])
    assert (found.mode, found.location) == (mode, row.location)
    assert found.truth == row.truth_text
    (said,) = found.said
    assert (said.verdict, said.reason, said.reported) == (row.verdict, row.reason, row.reported_text)
