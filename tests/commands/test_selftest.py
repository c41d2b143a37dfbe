"""unwindlab selftest: what it prints where, and which code it exits with."""

from __future__ import annotations

import json
import sys

import pytest

import lab
from lab import registry
from lab.selftest import suite
from lab.selftest.results import Part
from lab.selftest.suite import CHECKS
from tests.commands.calls import call, one_line

REAL = registry  # before a stand-in takes its place


@pytest.fixture(autouse=True)
def _real_registry(_here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lab.registry", REAL)
    monkeypatch.setattr(lab, "registry", REAL)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check finds three things alike, the engines also two that differ."""
    for check in CHECKS:
        counts = {"stops": 3, "verdicts": 6} if check == "engines" else {"things": 3}
        wrong = ("0x10 (main) fp boundary: one, other", "and another") if check == "engines" else ()
        monkeypatch.setitem(suite.CHECKS, check, lambda case, subject, c=counts, w=wrong: Part(c, w))


def test_one_line_a_check_and_the_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ones: README's block, which also exits with 0."""
    for check in CHECKS:
        monkeypatch.setitem(suite.CHECKS, check, lambda case, subject: Part({"stops": 3, "verdicts": 6}))
    result = call("selftest", "--quick", "--arch", "arm64")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[:3] for line in lines[:6]] == [[check, "arm64", "passed"] for check in CHECKS]
    assert lines[6] == "engines compared at 6 stops, 12 verdicts: 0 disagreements"
    assert lines[7].startswith("6 checks, 0 failed, in ")
    assert len(lines) == 8


def test_json_is_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ones: the doctor reads this object (tests/test_doctor.py)."""
    for check in CHECKS:
        monkeypatch.setitem(suite.CHECKS, check, lambda case, subject: Part({"stops": 3, "verdicts": 6}))
    found = json.loads(call("selftest", "--quick", "--workload", "longjmp", "--json").stdout)
    assert (found["level"], found["passed"]) == ("quick", True)
    assert {(c["check"], c["arch"]) for c in found["checks"]} == {(c, a) for c in CHECKS for a in ("aarch64", "x86_64")}
    for check in found["checks"]:
        assert set(check) == {"check", "arch", "status", "detail", "seconds", "counts", "problems"}
        assert (check["status"], check["problems"]) == ("passed", [])
    assert found["totals"] == {"stops": 12, "verdicts": 24, "disagreements": 0}


def test_a_failure_is_exit_1_with_every_problem_on_a_line(planted: None) -> None:
    result = call("selftest", "--quick", "--arch", "x86_64")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("engines"))
    assert lines[at].split()[2] == "failed"
    assert lines[at + 1 : at + 3] == ["  0x10 (main) fp boundary: one, other", "  and another"]
    assert lines[-2] == "engines compared at 3 stops, 6 verdicts: 2 disagreements"
    assert lines[-1].startswith("6 checks, 1 failed, in ")
    assert result.stderr == "unwindlab: selftest: 1 of 6 checks failed: engines x86_64\n"


def test_a_failure_in_json(planted: None) -> None:
    result = call("selftest", "--quick", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["passed"], found["totals"]["disagreements"]) == (False, 4)
    assert [c["arch"] for c in found["checks"] if c["status"] == "failed"] == ["aarch64", "x86_64"]


def test_interrupted_it_prints_what_was_done(planted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Part:
        raise KeyboardInterrupt

    monkeypatch.setitem(suite.CHECKS, "memory", interrupted)
    result = call("selftest", "--quick", "--arch", "arm64", "--jobs", "1")
    assert result.exit_code == 130
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["stores", "registers", "stopped:"]
    assert result.stderr == "unwindlab: interrupted\n"


def test_interrupted_json_says_so(planted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Part:
        raise KeyboardInterrupt

    whole = json.loads(call("selftest", "--quick", "--arch", "x86_64", "--json").stdout)
    assert (whole["interrupted"], whole["tasks"]["done"]) == (False, whole["tasks"]["planned"])
    last = [*CHECKS][-1]
    monkeypatch.setitem(suite.CHECKS, last, interrupted)
    monkeypatch.setitem(suite.CHECKS, "engines", lambda case, subject: Part({"stops": 3, "verdicts": 6}))
    result = call("selftest", "--quick", "--arch", "arm64", "--jobs", "1", "--json")
    assert result.exit_code == 130
    found = json.loads(result.stdout)
    assert (found["interrupted"], found["passed"]) == (True, False)
    assert [c["check"] for c in found["checks"]] == [check for check in CHECKS if check != last]
    assert found["totals"] == {"stops": 3, "verdicts": 6, "disagreements": 0}
    assert 0 < found["tasks"]["done"] < found["tasks"]["planned"]
    assert result.stderr == "unwindlab: interrupted\n"
    monkeypatch.setitem(suite.CHECKS, "stores", interrupted)
    nothing = json.loads(call("selftest", "--quick", "--arch", "arm64", "--jobs", "1", "--json").stdout)
    assert (nothing["interrupted"], nothing["checks"], nothing["tasks"]["done"]) == (True, [], 0)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--quick", "--all"], "--quick and --all: give one of them"),
        (["--workload", "md6"], "unknown workload 'md6'; did you mean 'md5'?"),
        (["--proposal", "bas"], "unknown proposal 'bas'; did you mean 'base'?"),
        (["--arch", "riscv"], "unknown architecture 'riscv'"),
        (["--check", "engine"], "unknown check 'engine'; did you mean 'engines'?"),
        (["--jobs", "0"], "--jobs"),
        (["--quick", "--workload", "md5"], "no image to check is left by 'md5'; --all has every one"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(args: list[str], said: str) -> None:
    assert said in one_line(call("selftest", *args), 2)
