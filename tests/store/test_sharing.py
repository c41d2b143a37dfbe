"""A results folder that several processes write to, runs inside runs, and a run.json that was edited."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from lab import store
from lab.errors import InputError
from lab.store import Run
from tests.fake_run import fake_run

SMALL: dict[str, Any] = {"arches": ("aarch64",), "workloads": ("w",), "functions": 1, "insns": 8}


def nothing(run: Run, folder: Path) -> None:
    """Render no reports."""


def test_runs_of_the_same_id_at_once_leave_one_whole_run(tmp_path: Path) -> None:
    run = fake_run(**SMALL)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(12):
                store.write_run(run, tmp_path, nothing)
        except BaseException as error:  # whatever a thread raises would be lost
            failures.append(error)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == [run.run_id]
    assert store.compare(store.load_run(run.run_id, [tmp_path]), run) == []


def test_a_run_is_no_results_folder(tmp_path: Path) -> None:
    path = store.write_run(fake_run(**SMALL), tmp_path, nothing).path
    with pytest.raises(InputError, match="is itself a run, and is replaced as a whole"):
        store.check_root(path)


@pytest.mark.parametrize("key", ["run_id", "config"])
def test_an_edited_run_is_noticed(tmp_path: Path, key: str) -> None:
    path = store.write_run(fake_run(**SMALL), tmp_path, nothing).path
    document = json.loads((path / "run.json").read_text())
    document[key] = "0123456789ab" if key == "run_id" else document[key] | {"seed": 7}
    (path / "run.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"run\.json: run id \w+, but its configuration and images make \w+;"):
        store.load_run(path, [])
