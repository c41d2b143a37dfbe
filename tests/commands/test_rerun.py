"""rerun: the same counts, or which cells differ and the likely cause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.experiment import Experiment
from tests import fakes
from tests.commands.calls import call, some_run


def test_rerun_of_the_same_counts() -> None:
    found = some_run()
    before = sorted(Path("results").iterdir())
    result = call("rerun", found["run_id"])
    assert (result.exit_code, result.stdout) == (0, f"identical: {len(found['cells'])} cells\n")
    assert sorted(Path("results").iterdir()) == before
    assert json.loads(call("rerun", found["path"], "--json").stdout)["identical"] is True


def test_rerun_of_a_reference_run() -> None:
    found = some_run("-o", "results/reference")
    assert call("rerun", found["run_id"]).exit_code == 0


def test_rerun_that_differs_names_cells_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    found = some_run()

    def other(experiment: Experiment, progress: Any) -> Any:
        result = fakes.run(experiment, progress)
        cells = [dataclasses.replace(cell, instructions=cell.instructions + 1) for cell in result.cells]
        return dataclasses.replace(result, cells=cells, compilers=[{"name": "clang", "version": "23"}])

    fakes.install(monkeypatch, run=other)
    result = call("rerun", found["run_id"])
    assert result.exit_code == 1
    assert "aarch64/clang/musl_regex/plain/fp/boundary: instructions: " in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.endswith("likely cause: clang: 22.1.8 then, 23 now")
