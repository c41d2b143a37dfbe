"""The trace: what it keeps, what it leaves out, and how two are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.machine.linux import trace
from lab.machine.linux.trace import Call, Recorder, Trace, shown
from tests.machine.linux.driver import CODE, HOLE, SCRATCH, Driver
from tests.machine.linux.test_tree import filled
from tests.support import ARCH_NAMES


def recorded(*calls: Call) -> Trace:
    recorder = Recorder()
    for call in calls:
        recorder.add(call)
    return recorder.trace()


WRITE = Call("write", ("1", "stack", "2"), "2", "'hi'")


def test_equal_traces_have_no_difference() -> None:
    assert recorded(WRITE, WRITE).difference(recorded(WRITE, WRITE)) == ""


def test_the_first_difference_is_named() -> None:
    other = Call("write", ("1", "stack", "2"), "2", "'ho'")
    said = recorded(WRITE, WRITE).difference(recorded(WRITE, other))
    assert said == "system call 2: write(1, stack, 2) = 2  'hi' became write(1, stack, 2) = 2  'ho'"
    assert recorded(WRITE).difference(recorded(WRITE, WRITE)) == "1 system calls became 2"


def test_calls_beyond_those_kept_still_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MOST_KEPT", 2)
    long, other = recorded(WRITE, WRITE, WRITE), recorded(WRITE, WRITE, Call("read", (), "0"))
    assert (long.count, len(long.calls)) == (3, 2)
    assert "after the first 2" in long.difference(other)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_addresses_are_places_and_data_is_data(arch: str, tmp_path: Path) -> None:
    driver = Driver(arch, filled(tmp_path))
    driver.call("write", 1, b"hello", 5)
    driver.call("write", 1, SCRATCH, 4096)
    driver.call("write", 7, CODE, 1)
    driver.call("write", 1, HOLE, 1)
    driver.call("brk", 0)
    driver.call("openat", -100, b"sub/none", 0, 0)
    lines = [str(call) for call in driver.kernel.trace.calls]
    assert lines[0] == "write(1, stack, 5) = 5  'hello'"
    assert lines[1].startswith("write(1, stack, 4096) = 4096  4096 bytes, sha256 ")
    assert lines[2:] == [
        "write(7, image, 1) = EBADF",
        "write(1, nowhere, 1) = EFAULT",
        "brk(0) = arena+0x0",
        "openat(-100, 'sub/none', 0x0, 0x0) = ENOENT",
    ]


def test_long_data_is_shown_by_its_digest() -> None:
    assert shown(b"a\n") == r"'a\n'"
    assert shown(b"x" * 1000) != shown(b"x" * 999 + b"y")
    assert len(shown(b"x" * (1 << 20))) < 60
