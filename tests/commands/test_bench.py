"""bench: every row and key, the same instructions for all, and misuse in one line; never how fast anything is."""

from __future__ import annotations

import dataclasses
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from lab.arch import arch_by_name
from lab.bench import configurations, limits, start
from lab.bench.configurations import BARE, COUNTING, NATIVE, NO_MEMO, PYTHON, REFERENCE, Configuration
from lab.bench.limits import Finding, findings
from lab.bench.measure import Row, measure
from lab.bench.subjects import EIGHT, PROPOSALS, Subject, make_subject
from lab.bench.text import large, render
from lab.errors import EngineError
from lab.registry import all_unwinders
from tests.commands.calls import call, one_line

KEYS = "arch workload proposal engine unwinders insn_per_s x_bare x_bare_min x_bare_max instructions rounds".split()
HEAVY = ("calls", "depth-10")
EVERY = {arch: [u.name for u in all_unwinders() if u.unsupported(arch, has_shadow=True) is None] for arch in EIGHT}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder; but with the real parts, unlike its neighbours here."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    result = call("bench", "--quick", "--json", "--workload", "calls", "--workload", "depth-10")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def configured(arch: str) -> list[tuple[str, list[str]]]:
    return [
        (BARE, []),
        (COUNTING, []),
        *((NATIVE, names) for names in ([], ["fp"], ["fp", "scs-lr"], list(EIGHT[arch]), EVERY[arch])),
        (NO_MEMO, ["fp", "scs-lr"]),
        (REFERENCE, ["fp", "scs-lr"]),
        (PYTHON, ["fp"]),
    ]


def test_json_has_every_row_with_positive_numbers(measured: dict[str, Any]) -> None:
    assert measured["quick"] is True
    subjects = []
    for (arch, workload), group in groupby(measured["rows"], key=lambda row: (row["arch"], row["workload"])):
        rows = list(group)
        subjects.append((arch, workload))
        assert [(row["engine"], row["unwinders"]) for row in rows] == configured(arch)
        assert {row["proposal"] for row in rows} == {PROPOSALS[arch]}
        assert rows[0]["x_bare"] == rows[0]["x_bare_min"] == rows[0]["x_bare_max"] == 1
    assert subjects == [(arch, workload) for arch in EVERY for workload in HEAVY]
    assert {key for row in measured["rows"] for key in KEYS if key not in row} == set()
    numbers = [value for row in measured["rows"] for value in row.values() if isinstance(value, int | float)]
    assert len(numbers) >= 10 * len(measured["rows"])
    assert all(value > 0 for value in numbers)


def test_rows_say_how_many_instructions_were_run(measured: dict[str, Any]) -> None:
    for row in measured["rows"]:
        length = make_subject(row["workload"], arch_by_name(row["arch"]), row["proposal"]).length
        fixed = 0 if row["engine"] == PYTHON else length.fixed
        assert row["instructions"] == fixed + row["rounds"] * length.per_round


def test_json_has_the_start_and_every_limit(measured: dict[str, Any]) -> None:
    assert measured["start"]["repeat"] == 1
    assert 0 < measured["start"]["min"] <= measured["start"]["seconds"] <= measured["start"]["max"]
    assert measured["start"]["cpu_s"] > 0
    named = {(found["name"], found["arch"], found["workload"]) for found in measured["limits"]}
    heavy = {
        (name, arch, workload)
        for name in ("x_bare", "x_bare_eight", "x_python")
        for arch in EVERY
        for workload in HEAVY
    }
    assert named == heavy | {("start_s", "", "")}
    assert all(isinstance(found["holds"], bool) for found in measured["limits"])


def test_text_has_the_same_rows_in_few_columns() -> None:
    result = call("bench", "--quick", "--arch", "amd64", "--workload", "strings", "--workload", "strings")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines.count("x86-64 strings, xray-memory-use") == 1
    assert [line.split()[0] for line in lines if line.startswith("  ")][1:][: len(configured("x86_64"))] == [
        engine for engine, _ in configured("x86_64")
    ]
    assert "start with compiled code cached" in lines[-2]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--workload", "speed"], "unknown bench program 'speed'; known: calls"),
        (["--arch", "riscv"], "riscv"),
        (["--proposal", "pac-registr-use"], "unknown proposal 'pac-registr-use'; did you mean 'pac-register-use'?"),
        (["--proposal", "base"], "proposal 'base' brings no shadow stack"),
        (["--proposal", "pac-register-use", "--arch", "x86_64"], "proposal 'pac-register-use': "),
        (["--repeat", "0"], "--repeat"),
        (["calls"], "unexpected extra argument"),
    ],
)
def test_misuse_is_one_line(args: list[str], said: str) -> None:
    assert said in one_line(call("bench", *args), 2)


def test_a_proposal_alone_chooses_the_architectures_that_have_it() -> None:
    from lab.bench.subjects import choose

    assert [subject.arch.name for subject in choose([], ["loop"], "xray-register-use")] == ["aarch64"]
    assert [subject.arch.name for subject in choose([], ["loop"], "xray-memory-use")] == ["aarch64", "x86_64"]


@pytest.fixture
def subject() -> Subject:
    return make_subject("calls", arch_by_name("x86_64"), "xray-memory-use")


@pytest.mark.parametrize(("engine", "unwinders"), configured("x86_64"))
def test_a_run_that_retires_another_number_is_an_error(engine: str, unwinders: list[str], subject: Subject) -> None:
    configuration = Configuration(engine, tuple(unwinders))
    good = configuration.run(subject, 3)
    assert good.instructions == subject.length.instructions(3) - (subject.length.fixed if engine == PYTHON else 0)
    if engine in {BARE, PYTHON}:  # neither counts what it retires
        return
    vars(subject)["length"] = dataclasses.replace(subject.length, per_round=subject.length.per_round + 1)
    vars(subject)["hook_calls"] = subject.length
    with pytest.raises(EngineError, match="rounds"):
        configuration.run(subject, 3)


def test_bare_and_counted_runs_must_print_the_same(monkeypatch: pytest.MonkeyPatch, subject: Subject) -> None:
    def other(self: Configuration, of: Subject, rounds: int) -> configurations.Sample:
        return dataclasses.replace(true(self, of, rounds), output=b"other")

    true = configurations._RUN[BARE]
    monkeypatch.setitem(configurations._RUN, BARE, other)
    with pytest.raises(EngineError, match="print different results"):
        measure([subject], 1, lambda *_: None, quick=True)


def test_a_process_that_cannot_start_is_one_line() -> None:
    with pytest.raises(EngineError, match=r"measuring the start: .*unknown bench program"):
        start.measure_start("aarch64", "absent", "base")


def row(workload: str, engine: str, x_bare: float, speed: float) -> Row:
    names = limits.JUDGED if engine == NATIVE else ()
    spread = (x_bare, x_bare / 2, x_bare * 2)
    return Row("aarch64", workload, "p", engine, names, speed, *spread, speed, x_bare, 1.0, 1.0, 9, 1, 1, "batch")


ROWS = [
    row("calls", NATIVE, 4.0, 100.0),
    row("calls", PYTHON, 500.0, 1.0),
    row("depth-10", NATIVE, 4.01, 99.0),
    row("depth-10", PYTHON, 500.0, 1.0),
    row("depth-1000", NATIVE, 4.01 * 1.16, 1e5),
    row("depth-1000", PYTHON, 5e5, 1.0),
    row("loop", NATIVE, 50.0, 1.0),
    dataclasses.replace(row("calls", NATIVE, 8.0, 50.0), unwinders=EIGHT["aarch64"]),
    dataclasses.replace(row("depth-10", NATIVE, 8.1, 50.0), unwinders=EIGHT["aarch64"]),
    dataclasses.replace(row("loop", NATIVE, 9.0, 50.0), unwinders=EIGHT["aarch64"]),
]


def test_limits_hold_up_to_and_with_their_value() -> None:
    held = {(f.name, f.workload): f.holds for f in findings(ROWS, 2.5)}
    assert held == {
        ("x_bare", "calls"): True,
        ("x_bare", "depth-10"): False,
        ("x_bare", "depth-1000"): False,
        ("x_bare_eight", "calls"): True,
        ("x_bare_eight", "depth-10"): False,
        ("depth", "depth-1000"): False,
        ("x_python", "calls"): True,
        ("x_python", "depth-10"): False,
        ("x_python", "depth-1000"): True,
        ("start_s", ""): False,
    }
    assert findings(ROWS[-1:], 1.0) == [Finding("start_s", "", "", 1.0, 2.0, True)]


def test_the_text_says_what_holds() -> None:
    text = render(ROWS, findings(ROWS, 1.0), 0.75)
    for said in (
        "arm64: at most 4x bare                                     does not hold\n    calls 4.00x  depth-10 4.01x",
        "depth 1000 within 15% of depth 10                   does not hold\n    depth-1000 +16%",
        "start with compiled code cached under 2 s                  holds\n    1.00 s by the wall, 0.75 s of",
        "Registers were read through unicorn's API",
    ):
        assert said in text
    assert [large(value) for value in (7, 510, 52_800, 183e6, 2e9)] == ["7.00", "510", "52.8 k", "183 M", "2.00 G"]
