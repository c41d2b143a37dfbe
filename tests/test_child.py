"""Work in a forked child: what it returns and raises comes back, what it does to itself is one line."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import child
from lab.arch import AARCH64
from lab.child import in_child
from lab.errors import EngineError, InputError, LabError, RefusedError
from lab.interrupts import stoppable
from lab.workers import spread
from tests.test_interrupts import PATIENCE, children, gone, until

MIB = 1 << 20


def apart(work: Callable[..., object], *args: object, seconds: float = 30, memory: int = 256 * MIB) -> object:
    return in_child(work, *args, what="x.elf: the ELF parser", seconds=seconds, memory=memory)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> object:
    """No test leaves a child or an open file behind."""
    before, born = descriptors(), children(os.getpid())
    yield
    if request.function is test_workers_of_a_pool_may_have_children:
        return  # Python's own tracker of resources stays
    assert children(os.getpid()) == born
    assert descriptors() == before


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_results_and_arguments_cross_whole() -> None:
    assert apart(lambda a, b: (a + b, os.getpid()), 1, 2) != (3, os.getpid())
    assert apart(bytes, 3 * MIB) == bytes(3 * MIB)
    assert apart(lambda: AARCH64) is AARCH64


def test_what_it_changes_stays_there() -> None:
    here = []
    apart(here.append, 1)
    assert here == []


def _refuse() -> None:
    raise RefusedError("first", "second")


def test_what_it_raises_is_raised_with_the_childs_traceback() -> None:
    with pytest.raises(RefusedError) as caught:
        apart(_refuse)
    assert caught.value.lines == ["first", "second"]
    assert "in _refuse" in caught.value.__notes__[0]


class OddError(Exception):
    """Pickles, but does not come out again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def test_an_exception_that_cannot_be_carried_is_told() -> None:
    def odd() -> None:
        raise OddError(1, 2)

    with pytest.raises(EngineError, match="OddError: 1 2"):
        apart(odd)
    with pytest.raises(TypeError, match="cannot pickle"):
        apart(threading.Lock)


def _kill(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("work", "args", "how"),
    [
        (_kill, (signal.SIGSEGV,), "SIGSEGV"),
        (_kill, (signal.SIGBUS,), "SIGBUS"),
        (_kill, (signal.SIGKILL,), "SIGKILL"),
        (_kill, (signal.SIGRTMIN + 3,), f"signal {signal.SIGRTMIN + 3}"),
        (os.abort, (), "SIGABRT"),
        (ctypes.string_at, (1,), "SIGSEGV"),
        (os._exit, (0,), "exit status 0"),
    ],
)
def test_a_crash_is_one_line(
    work: Callable[..., object], args: tuple[object, ...], how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as caught:
        apart(work, *args)
    assert str(caught.value).startswith(f"x.elf: the ELF parser crashed on this file ({how})")
    assert capfd.readouterr() == ("", "")


def test_what_libc_says_of_a_crash_is_nobodys_business(capfd: pytest.CaptureFixture[str]) -> None:
    def corrupt() -> None:
        libc = ctypes.CDLL(None)
        libc.free.argtypes = [ctypes.c_void_p]
        libc.free(ctypes.addressof(ctypes.create_string_buffer(64)) + 8)

    with pytest.raises(InputError, match="SIGABRT"):
        apart(corrupt)
    assert capfd.readouterr() == ("", "")


def test_what_sound_work_prints_comes_out_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    def talk() -> None:
        print("python")
        os.write(1, b"descriptor\n")
        print("stderr", file=sys.stderr)

    sys.stdout.write("not yet written ")
    apart(talk)
    assert capfd.readouterr() == ("not yet written ", "python\ndescriptor\nstderr\n")


def test_an_answer_that_is_no_answer_is_a_crash() -> None:
    def garbage() -> None:
        child.pickle.dumps = lambda *_: b"\x80\x05gg"
        raise ValueError

    with pytest.raises(InputError, match="its answer is damaged"):
        apart(garbage)


def test_a_hang_ends() -> None:
    with pytest.raises(InputError, match=r"x\.elf: the ELF parser did not end within 0\.2 s on this file"):
        apart(time.sleep, 2 * PATIENCE, seconds=0.2)


def test_no_hang_when_signals_are_ignored_and_the_pipe_is_closed() -> None:
    def stubborn() -> None:
        os.closerange(3, 256)
        while True:
            time.sleep(1)

    with pytest.raises(InputError, match="crashed on this file"):
        apart(stubborn)


def _hoard() -> None:
    kept = []
    while True:
        kept.append(b"x" * MIB)


def test_too_much_memory_is_one_line() -> None:
    with pytest.raises(InputError, match=r"the ELF parser needs more than 64 MiB of memory for this file"):
        apart(_hoard, memory=64 * MIB)
    with pytest.raises(InputError, match=r"needs more than 64 MiB"):
        apart(lambda: bytearray(1 << 62), memory=64 * MIB)


def test_a_stop_ends_the_child_too() -> None:
    began = time.monotonic()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(KeyboardInterrupt), stoppable():
        apart(time.sleep, PATIENCE, seconds=PATIENCE)
    assert time.monotonic() - began < PATIENCE


def test_a_child_may_have_children() -> None:
    def inner() -> object:
        with pytest.raises(InputError, match="SIGABRT"):
            apart(os.abort)
        return apart(lambda: 3)

    assert apart(inner) == 3


def _in_worker(number: int) -> str:
    try:
        return str(apart(os.abort if number % 2 else lambda: number))
    except LabError as error:
        return str(error)[:37]


def test_workers_of_a_pool_may_have_children() -> None:
    found = dict(spread(_in_worker, range(4), str, workers=2))
    assert [found[i] for i in (0, 2)] == ["0", "2"]
    assert found[1] == found[3] == "x.elf: the ELF parser crashed on this"


def test_threads_may_have_children() -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda n=n: found.append(apart(lambda: n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == [0, 1, 2, 3]


LONELY = """
import os, sys, time
from lab.child import in_child
def work():
    os.write(int(sys.argv[1]), str(os.getpid()).encode())
    time.sleep(600)
in_child(work, what="x", seconds=600, memory=1 << 30)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_does_not_outlive_its_parent(number: int) -> None:
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen([sys.executable, "-c", LONELY, str(writer)], pass_fds=[writer])
        started = int(os.read(reader, 20))
        assert not gone(started)
        process.send_signal(number)
        assert process.wait(PATIENCE) == -number
        until(lambda: gone(started))
    finally:
        os.close(reader)
        os.close(writer)


def test_a_process_that_cannot_be_made_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(EngineError, match=r"no process could be started: Resource temporarily unavailable"):
        apart(lambda: 1)


def test_the_heavy_libraries_stand_it(tmp_path: Path) -> None:
    """A fork with unicorn's and numba's code loaded and used before."""
    from lab.cost.counts import count
    from lab.images.image import load_image
    from lab.machine.machine import Limits
    from tests.test_rewriting import pac_image

    image = load_image(pac_image())
    here = count(image, None, Limits())
    assert apart(count, image, None, Limits(), memory=4096 * MIB) == here
    assert apart(load_image, image.path) == image
