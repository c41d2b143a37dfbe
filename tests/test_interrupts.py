"""Being stopped: one line, exit code 130, nothing half-written, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.interrupts import STOPPING, stoppable

LONG_RUN = "from lab.cli import main; main()"
PATIENCE = 60.0


class ExtensionFileLoader:
    """Looks in a traceback as importlib's loader of C++ modules does."""

    def exec_module(self) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "loaded"


def start(folder: Path) -> subprocess.Popen[str]:
    """A run of some minutes, in a process group of its own, once its workers are there."""
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, "run", "-o", str(folder), "--workload", "regex", "--workload", "printf"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until(lambda: len(children(process.pid)) >= 2)
    return process


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


needs_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: a run starts no workers")


@needs_cores
@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize("to_all", [False, True], ids=["parent", "group"])
def test_a_stopped_run_says_so_and_leaves_nothing(tmp_path: Path, number: signal.Signals, to_all: bool) -> None:
    process = start(tmp_path / "results")
    workers = children(process.pid)
    (os.killpg if to_all and number == signal.SIGINT else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "unwindlab: interrupted\n")
    assert list((tmp_path / "results").iterdir()) == []
    until(lambda: all(gone(worker) for worker in workers))


@needs_cores
def test_workers_do_not_outlive_a_killed_run(tmp_path: Path) -> None:
    process = start(tmp_path / "results")
    workers = children(process.pid)
    process.kill()
    process.communicate(timeout=PATIENCE)
    until(lambda: all(gone(worker) for worker in workers))


def test_an_extension_module_is_loaded_to_its_end_first() -> None:
    loaded = ""
    with pytest.raises(KeyboardInterrupt), stoppable():
        loaded = ExtensionFileLoader().exec_module()
        until(lambda: False)
    assert loaded == "loaded"


def test_a_stop_inside_a_finalizer_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    class Dying:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            assert self is not None

    with pytest.raises(KeyboardInterrupt), stoppable():
        Dying()
        until(lambda: False)
    assert capfd.readouterr().err == ""


def test_what_was_ignored_stays_ignored_and_all_is_put_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        own = signal.getsignal(signal.SIGTERM)
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not own
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
