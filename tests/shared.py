"""What the workers of one session share: a folder, and what long commands have printed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.console import run

SHARED = frozenset({"unwindlab doctor"})
"""Commands that read nothing of the folder they run in: once in a session is enough."""


def session_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """The folder *name* of this session, the same in every worker."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One worker at a time; the others wait."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_shared(command: str, factory: pytest.TempPathFactory) -> tuple[list[str], int]:
    """What ``tests.console.run`` says of *command*, one of SHARED, run by the first who asks."""
    assert command in SHARED
    folder = session_folder(factory, command.replace(" ", "-"))
    printed = folder / "printed.json"
    with locked(folder):
        if not printed.exists():
            printed.write_text(json.dumps(run(command, folder)), encoding="utf-8")
    lines, status = json.loads(printed.read_text(encoding="utf-8"))
    return lines, status
