"""One run of ``unwindlab demo`` for everybody who asks, whatever worker they run in."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from lab.store import Run, load_run
from tests.console import ROOT, environment
from tests.shared import locked, session_folder

BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"
EXCERPTS = (("== arm64, boundary stops ==", 1), ("Cost added per executed call", 1))
"""What README.md shows: (how the part begins, paragraphs)."""


@dataclass(frozen=True)
class Demo:
    """``output``: what it printed on standard output; ``results``: the folder it wrote its run to."""

    output: str
    results: Path

    def run(self) -> Run:
        """What it stored."""
        return _load(self.results)


@cache
def _load(results: Path) -> Run:
    (folder,) = (path.parent for path in results.glob("*/run.json"))
    return load_run(folder, [])


def run_demo(folder: Path) -> Demo:
    """Run it with *folder* as the place for its results; if it was run there before, take that."""
    printed, results = folder / "demo.txt", folder / "results"
    if not printed.exists():
        command = [sys.executable, "-m", "lab.cli", "demo", "-o", str(results)]
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        printed.write_text(done.stdout)
    return Demo(printed.read_text(), results)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo's run; workers of one session share it."""
    folder = session_folder(tmp_path_factory, "demo-run")
    with locked(folder):
        return run_demo(folder)


def reference() -> Path:
    """The folder of the one run that is kept in results/reference."""
    (kept,) = (path.parent for path in (ROOT / "results" / "reference").glob("*/run.json"))
    return kept


def excerpt(output: str, begin: str, paragraphs: int) -> str:
    """The contiguous part of *output* that begins with the line *begin*... and has this many paragraphs."""
    at = output.index("\n" + begin) + 1
    parts = re.split(r"\n\n", output[at:])
    return "\n\n".join(parts[:paragraphs]) + "\n"
