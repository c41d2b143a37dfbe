"""The doctor reports what is there and what is not, and never fails itself."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest

from lab import doctor
from lab.doctor import Status, diagnose, healthy
from lab.errors import ToolchainError


def test_a_healthy_machine() -> None:
    findings = {finding.name: finding for finding in diagnose()}
    assert healthy(list(findings.values()))
    assert findings["clang and LLD (ziglang)"].version
    for name in ("build for aarch64", "build for x86_64", "musl sources", "cache folder", "lief", "unicorn", "pyarrow"):
        assert findings[name].status is Status.OK
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
    for name in ("gdb", "readelf", "objtool", "llvm-mca", "qemu-aarch64", "aarch64-linux-gnu-gcc"):
        assert findings[name].status is Status.OPTIONAL_MISSING, name


def test_optional_tools_are_found_with_their_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "gdb"
    tool.write_text("#!/bin/sh\necho 'GNU gdb (Somebody 1) 17.2'\n")
    tool.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(tool) if name == "gdb" else None)
    finding = next(f for f in diagnose() if f.name == "gdb")
    assert (finding.version, finding.status, finding.detail) == ("17.2", Status.OK, str(tool))
