"""Checks of tasks at random moments: the counting on histories written by hand, and one image in the small kernel."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest

from lab import registry
from lab.errors import InputError
from lab.sampling.draw import Drawn, Model, Task, checked, drawn, perform, transition
from lab.sampling.summary import mean_retries, rows
from lab.sampling.timeline import Left, Timeline, timeline
from lab.selftest.cases import Case, Form
from lab.verdict import Doubt, Judgement, Verdict
from tests.commands.calls import call, one_line
from tests.support import ARCH_NAMES

EXACT = Judgement(Verdict.EXACT, "", Doubt.NONE, covers=True)
MISSING = Judgement(Verdict.MISSING, "", Doubt.NONE, covers=False)
CRASH = Judgement(Verdict.CRASH, "", Doubt.NONE, covers=False)
REFUSED = Judgement(Verdict.REFUSED, "interrupted", Doubt.NEEDLESS, covers=False)
MODEL = Model(runs=2, tick=1999, checks=4, period=10, tries=3, seed=1)


def history(*lefts: tuple[int, int, bool, Judgement]) -> Timeline:
    """Of (moment, task, preempted, what one design says)."""
    return Timeline(tuple(Left(at, task, preempted, (judged,)) for at, task, preempted, judged in lefts))


def said(left: Left) -> Judgement:
    """By the only design."""
    return left.judged[0]


LINE = history((10, 1, False, EXACT), (20, 2, True, REFUSED), (40, 1, True, MISSING), (50, 2, False, EXACT))


def test_a_task_is_as_it_was_left_until_it_runs_and_while_it_runs_there_is_nothing_to_check() -> None:
    assert (LINE.begin, LINE.end, LINE.tasks) == (20, 50, (1, 2))
    for moment, running, other in ((20, 1, 20), (39, 1, 20), (40, 2, 40), (49, 2, 40)):
        state = LINE.at(moment)
        assert state[running] is None
        left = state[3 - running]
        assert left is not None and left.at == other


def test_checks_are_counted_by_what_came_of_them() -> None:
    found = Drawn()
    for moment in (25, 45):
        checked(found, LINE.at(moment), said)
    assert (found.checks, found.running, found.preempted) == (2, 2, 2)
    assert (found.refused, found.needless, found.wrong, found.crashed) == (1, 1, 1, 0)
    checked(found, {1: Left(0, 1, False, (CRASH,))}, said)
    assert (found.refused, found.crashed, found.checks) == (1, 1, 3), "a crash is no refusal, and lets nothing through"


def test_a_transition_is_complete_when_each_task_has_been_let_through_once() -> None:
    def at(*moments: int) -> Drawn:
        found = Drawn()
        transition(found, [LINE.at(moment) for moment in moments], said)
        return found

    assert (at(20, 30, 39).retries, at(20, 30, 39).unsafe) == (None, False), "1 runs, 2 is refused"
    assert (at(25, 45).retries, at(25, 45).unsafe) == (None, True), "1 passes on a wrong trace, 2 runs"
    line = history((5, 2, False, EXACT), (10, 1, False, EXACT), (20, 2, False, EXACT), (30, 1, False, EXACT))
    found = Drawn()
    transition(found, [line.at(15), line.at(25)], said)
    assert (found.retries, found.unsafe) == (1, False)


def test_a_run_too_short_for_its_transition_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="30 instructions has no room for 4 tries 10 apart: lower --tries"):
        drawn(LINE, replace(MODEL, tries=4), 1, random.Random(1))


def test_the_mean_of_retries_counts_what_did_not_complete_as_all_tries_and_never_claims_certainty() -> None:
    mixed = [Drawn(retries=0)] * 30 + [Drawn(retries=None)] * 10
    mean = mean_retries(mixed, MODEL)
    assert mean.value == 0.75 and 0.3 < mean.low < 0.75 < mean.high < 1.3
    same = mean_retries([Drawn(retries=0)] * 40, MODEL)
    assert (same.value, same.low) == (0, 0)
    assert same.high == pytest.approx(3 * (1 - 0.025 ** (1 / 40)))
    never = mean_retries([Drawn(retries=None)] * 40, MODEL)
    assert never.high == never.value == 3 and never.low == pytest.approx(3 * 0.025 ** (1 / 40))
    assert math.isnan(mean_retries([], MODEL).value)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_flag_refuses_what_was_preempted_and_nothing_else(arch: str) -> None:
    """And the oracle nothing, at the same moments of the same runs; which come back with the seed."""
    model = Model(runs=2, tick=1999, checks=30, period=500, tries=4, seed=3)
    task = Task(Case(arch, "regex", "base", Form.KERNEL), ("oracle", "fp", "fp+irq-flag", "scs"), model)
    done = perform(task)
    assert perform(task) == done
    assert [name for name, _ in done.unsupported] == [f"{arch} regex base scs"]
    oracle, plain, flag = (done.drawn[name] for name in ("oracle", "fp", "fp+irq-flag"))
    for truth, walk, refusing in zip(oracle, plain, flag, strict=True):
        assert (truth.refused, truth.wrong, walk.refused, refusing.wrong) == (0, 0, 0, 0)
        assert refusing.refused == refusing.preempted == truth.preempted == walk.preempted
        assert refusing.needless == refusing.refused - walk.wrong
        assert truth.checks + truth.running == 4 * model.checks
    assert sum(d.refused for d in flag) > 0 and sum(d.wrong for d in plain) > 0
    row = rows([done])[2]
    assert row.refused.clusters == 2 and row.refused.low < row.refused.count / row.refused.n < row.refused.high


def test_a_task_that_waits_passes_the_x86_reliable_walk_though_bp_ends_at_its_own_pt_regs() -> None:
    """A kernel task's own pt_regs are no exception's; one that was preempted has another and is refused."""
    case = Case("x86_64", "regex", "base", Form.KERNEL)
    line = timeline(case.subject(), (registry.unwinder("fp-x86-reliable"),), 1999, 1)
    assert {(left.preempted, said(left).verdict) for left in line.lefts} == {
        (False, Verdict.EXACT),
        (True, Verdict.REFUSED),
    }


def test_the_command_prints_rows_that_a_program_can_read() -> None:
    result = call("sample", "--arch", "arm64", "--workload", "regex", "--unwinder", "fp", "--runs", "2", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [row["design"] for row in found["rows"]] == ["fp"]
    assert found["rows"][0]["refused"]["count"] == 0 and found["model"]["runs"] == 2
    assert "--arch aarch64 --workload regex --unwinder fp --runs 2" in found["repro"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--unwinder", "fp+irq-flga"), "irq-flag"),
        (("--workload", "regexx"), "unknown workload 'regexx'"),
        (("--proposal", "nothing"), "unknown proposal 'nothing'"),
        (("--arch", "x86_64", "--proposal", "scs-gcc"), "there is no image x86_64 regex scs-gcc"),
        (("--runs", "0"), "--runs"),
    ],
)
def test_misuse_is_one_line(words: tuple[str, ...], told: str) -> None:
    assert told in one_line(call("sample", *words), 2)


def test_a_transition_that_does_not_fit_says_which_option_to_turn() -> None:
    words = ("--arch", "arm64", "--workload", "regex", "--unwinder", "oracle", "--runs", "1", "--tries", "900")
    assert "aarch64 regex base: a run of" in one_line(call("sample", *words), 2)
