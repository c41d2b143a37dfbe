"""CONTRIBUTING.md: each file it shows, put where it says, is found and works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.console import ROOT, environment

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_SHOWN = re.compile(r"^## [^\n]*`((?:lab|rewriters)/[\w/.]+)`\n.*?^```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown() -> dict[str, str]:
    """File -> the text CONTRIBUTING.md gives for it."""
    return {match[1]: match[2] for match in _SHOWN.finditer(TEXT)}


FILES = shown()
NEW = [name for name in FILES if not (ROOT / name).exists()]


def project(folder: Path, *new: str) -> Path:
    """A copy of both packages in *folder* with the new files put in."""
    leave = shutil.ignore_patterns("__pycache__")
    for package in ("lab", "rewriters"):
        shutil.copytree(ROOT / package, folder / package, ignore=leave)
    for name in new:
        (folder / name).write_text(FILES[name], encoding="utf-8")
    return folder


def unwindlab(copy: Path, *args: str) -> dict[str, Any]:
    """``unwindlab ARGS --json`` of the copy."""
    done = subprocess.run(
        [sys.executable, "-m", "lab.cli", *args, "--json"],
        cwd=copy,
        env=environment() | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def verdicts(found: dict[str, Any], **key: str) -> dict[str, int]:
    """Verdicts of the cells that match, added up."""
    cells = [cell for cell in found["cells"] if all(cell[name] == value for name, value in key.items())]
    assert cells
    return {name: sum(cell["verdicts"][name] for cell in cells) for name in cells[0]["verdicts"]}


def test_it_shows_one_file_of_each_kind() -> None:
    assert sorted(NEW) == [
        "lab/images/corpus/collatz.c",
        "lab/proposals/leafframes.py",
        "lab/unwind/fp_lr.py",
        "rewriters/flavours/parallel_cleared.py",
    ]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("extended"), *NEW)


def test_added_files_are_found_without_being_listed(extended: Path) -> None:
    names = unwindlab(extended, "list")
    assert "fp-lr" in names["unwinders"]
    assert "leaf-frames" in names["proposals"]
    assert {"name": "collatz", "rows": [12, 13], "title": "The Collatz sequence, recursively"} in names["workloads"]


def test_added_files_run(extended: Path) -> None:
    found = unwindlab(
        extended, "run", "--workload", "collatz", "--proposal", "base", "--proposal", "leaf-frames",
        "--unwinder", "fp", "--unwinder", "fp-lr", "--unwinder", "oracle", "--mode", "boundary",
        "--size", "small",
    )  # fmt: skip
    arm = {"arch": "aarch64", "proposal": "base"}
    oracle = verdicts(found, unwinder="oracle")
    assert oracle["exact"] == sum(oracle.values()) > 0
    assert verdicts(found, unwinder="fp", **arm)["missing"] > 0
    lr_first = verdicts(found, unwinder="fp-lr", **arm)
    assert lr_first["missing"] == 0
    assert lr_first["extra"] > 0
    (cost,) = [row for row in found["costs"] if row["proposal"] == "leaf-frames"]
    assert cost["instructions"] >= cost["base_instructions"]
    reasons = {cell["unsupported"] for cell in found["cells"] if cell["arch"] == "x86_64"}
    assert "clang gives x86-64 leaf functions a frame already" in reasons


def test_the_large_input_has_the_result_the_header_says(extended: Path) -> None:
    found = unwindlab(
        extended, "run", "--workload", "collatz", "--proposal", "base", "--arch", "arm64", "--unwinder", "fp",
        "--mode", "call", "--size", "large", "--stacks", "0",
    )  # fmt: skip
    assert sum(verdicts(found).values()) > 3000, "one stop a call"


def test_an_unwinder_file_runs_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "fp_lr.py").write_text(FILES["lab/unwind/fp_lr.py"], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "lab.cli", "run", "--arch", "arm64", "--workload", "early", "--proposal", "base",
         "--unwinder", "fp_lr.py", "--mode", "boundary", "--size", "small", "--json"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {cell["unwinder"] for cell in found["cells"]} == {"fp-lr"}
    assert verdicts(found)["missing"] == 0


def test_an_added_flavour_does_what_its_author_wanted(extended: Path, tmp_path: Path) -> None:
    def command(flavour: str) -> tuple[str, ...]:
        return ("run", "--arch", "arm64", "--workload", "early", "--proposal", f"pac-{flavour}-record",
                "--unwinder", "scs-lr", "--mode", "boundary", "--size", "small")  # fmt: skip

    assert verdicts(unwindlab(extended, *command("parallel")))["extra"] > 0
    found = verdicts(unwindlab(extended, *command("parallel-cleared")))
    assert found["exact"] == sum(found.values()) > 0
