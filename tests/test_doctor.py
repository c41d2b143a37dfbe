"""The doctor reports what is there and what is not, and never fails itself."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from lab import doctor, engine_findings
from lab.doctor import Status, diagnose, healthy
from lab.errors import ToolchainError
from lab.selftest.suite import CHECKS
from tests.shared import run_shared


def test_a_healthy_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As the command prints it, self-tests and all."""
    lines, status = run_shared("unwindlab doctor", tmp_path_factory)
    assert status == 0
    named = {name.strip(): rest for name, _, rest in (line.partition("  ") for line in lines)}
    for check in CHECKS:
        assert re.match(r" *-  +ok  +(\d+ [a-z ]+, )*\d+ [a-z]", named[f"self-test: {check}"]), named
    stops, verdicts = (int(word) for word in re.findall(r"\d+", named["self-test: engines"]))
    assert stops > 5000
    assert verdicts > 10 * stops
    assert " MB in " in named["compiled hooks"]
    assert "arm64 by pointer, x86-64 by pointer" in named["guest registers"]
    assert not [line for line in lines if re.search(r"  (missing|failed)  ", line)]


def test_each_part_of_a_healthy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_findings, "SELF_TEST", (sys.executable, "-c", "print('{\"checks\": []}')"))
    findings = {finding.name: finding for finding in diagnose()}
    assert healthy(list(findings.values()))
    assert findings["clang and LLD (ziglang)"].version
    for name in ("build for aarch64", "build for x86_64", "musl sources", "cache folder", "lief", "unicorn", "numba"):
        assert findings[name].status is Status.OK
    assert findings["guest registers"].note == "arm64 by pointer, x86-64 by pointer"
    assert " MB in " in findings["compiled hooks"].note
    for finding in findings.values():
        assert finding.cost
        assert finding.status is not Status.MISSING


def test_what_is_missing_is_a_finding_with_its_cost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_compiler() -> None:
        raise ToolchainError("no compiler here")

    def no_package(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNWINDLAB_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(doctor, "find_compiler", no_compiler)
    monkeypatch.setattr(importlib.metadata, "version", no_package)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor, "_kbuild", lambda name: None)
    findings = {finding.name: finding for finding in diagnose()}
    assert not healthy(list(findings.values()))
    for name in ("clang and LLD (ziglang)", "build for aarch64", "build for x86_64", "cache folder", "keystone-engine"):
        assert findings[name].status is Status.MISSING, name
    assert findings["clang and LLD (ziglang)"].detail == "no compiler here"
    assert findings["self-tests"].status is Status.FAILED
    assert "cannot write the cache" in findings["self-tests"].detail
    assert findings["compiled hooks"].status is Status.OPTIONAL_MISSING
    for name in ("gdb", "readelf", "objtool", "llvm-mca", "qemu-aarch64", "aarch64-linux-gnu-gcc"):
        assert findings[name].status is Status.OPTIONAL_MISSING, name


def test_optional_tools_are_found_with_their_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "gdb"
    tool.write_text("#!/bin/sh\necho 'GNU gdb (Somebody 1) 17.2'\n")
    tool.chmod(0o755)
    monkeypatch.setattr(doctor, "engine_findings", list)
    monkeypatch.setattr(shutil, "which", lambda name: str(tool) if name == "gdb" else None)
    finding = next(f for f in diagnose() if f.name == "gdb")
    assert (finding.version, finding.status, finding.detail) == ("17.2", Status.OK, str(tool))


def self_tests(monkeypatch: pytest.MonkeyPatch, program: str) -> dict[str, doctor.Finding]:
    """What the doctor finds where the self-tests are *program*."""
    monkeypatch.setattr(engine_findings, "SELF_TEST", (sys.executable, "-c", program))
    return {finding.name: finding for finding in engine_findings.engine_findings()}


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.abort()", "the process was ended by signal 6"),
        ("print('{')", "JSONDecodeError"),
        ("print('{}')", "KeyError"),
        ("import sys; sys.exit('unwindlab: no compiler')", "unwindlab: no compiler"),
        ("import sys; sys.exit(3)", "exit status 3"),
        ("import time; time.sleep(60)", "TimeoutExpired"),
    ],
)
def test_self_tests_that_do_not_run_are_a_finding(program: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_findings, "_TIMEOUT_S", 1 if "sleep" in program else 60)
    finding = self_tests(monkeypatch, program)["self-tests"]
    assert finding.status is Status.FAILED
    assert said in finding.cost
    assert "\n" not in finding.cost


def test_a_self_test_that_fails_is_a_finding_and_no_good_health(monkeypatch: pytest.MonkeyPatch) -> None:
    check = {"check": "engines", "detail": "1 image", "counts": {"stops": 2}}
    bad = check | {"arch": "aarch64", "status": "failed", "problems": ["0x10: one, other", "another"]}
    good = check | {"arch": "x86_64", "status": "passed", "problems": []}
    skipped = good | {"check": "memory", "status": "skipped"}
    text = json.dumps({"checks": [bad, good, skipped, good | {"check": "counts"}]})
    findings = self_tests(monkeypatch, f"import sys; print({text!r}); sys.exit(1)")
    assert findings["self-test: engines"].status is Status.FAILED
    assert findings["self-test: engines"].cost == "no count can be trusted: 0x10: one, other"
    assert findings["self-test: memory"].status is Status.OPTIONAL_MISSING
    assert findings["self-test: counts"].note == "2 stops"
    assert not healthy(list(findings.values()))


def test_registers_that_are_not_found_by_pointer_cost_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNWINDLAB_REGISTERS", "batch")
    findings = self_tests(monkeypatch, "print('{\"checks\": []}')")
    assert findings["guest registers"].status is Status.OPTIONAL_MISSING
    assert "slower" in findings["guest registers"].cost
    monkeypatch.setenv("UNWINDLAB_REGISTERS", "nonsense")
    assert self_tests(monkeypatch, "print('{\"checks\": []}')")["guest registers"].status is Status.MISSING


def test_what_was_compiled_for_the_self_tests_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNWINDLAB_CACHE", str(tmp_path))
    program = "import os; os.makedirs(os.environ['UNWINDLAB_CACHE'] + '/native/x'); print('{\"checks\": []}')"
    note = self_tests(monkeypatch, program)["compiled hooks"].note
    assert note.startswith(f"1 module, 0.0 MB in {tmp_path / 'native'}; 1 of them compiled just now")
