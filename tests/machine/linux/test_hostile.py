"""System calls with arguments no honest program has: an error number each, never a Python exception."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lab.machine.linux.numbers import NAMES
from lab.machine.linux.table import CALLS, KINDS
from tests.machine.linux.driver import CODE, HOLE, SCRATCH, SCRATCH_SIZE, Driver
from tests.machine.linux.test_tree import filled
from tests.support import ARCH_NAMES

WORDS = (
    *(0, 1, 2, 3, 4, 7, 8, 10, 15, 16, 24, 144, 1000, 4095, 4096, -1, -100, -4096, 0x22, 0x32, 0o102, 0o2000000),
    *((1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 64 << 20),
    *(SCRATCH, SCRATCH + 1, SCRATCH + SCRATCH_SIZE - 4, SCRATCH + SCRATCH_SIZE, CODE, CODE + 4090, HOLE),
    *(0x7F_B000_0000, 0x7F_B000_1000, 0x7F_B3FF_F000, 0x7F_B3FF_FFF8, 0x7F_B400_0000),
)
PATHS = (b"a.txt", b"sub", b"sub/t", b"abs", b"/", b"..", b".", b"new", b"", b"x" * 300, b"y/" * 1500, b"\xff", b"loop")


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_random_calls_are_all_answered(arch: str, seed: int, tmp_path: Path) -> None:
    rng = random.Random(f"{arch} {seed}")
    driver = Driver(arch, filled(tmp_path), b"input" * 100)
    names = [name for name in driver.numbers if name not in {"exit", "exit_group"}]
    answers = set()
    for _ in range(2500):
        name = rng.choice(names)
        kinds = CALLS[name].kinds if name in CALLS else ()
        arguments: list[int | bytes] = []
        for place in range(6):
            kind, dice = kinds[place] if place < len(kinds) else "size", rng.random()
            if kind == "path" and dice < 0.8:
                arguments.append(rng.choice(PATHS))
            elif kind == "at" and dice < 0.6:
                arguments.append(SCRATCH + rng.randrange(0, SCRATCH_SIZE, 8))
            else:
                arguments.append(rng.choice(WORDS) if dice < 0.95 else rng.getrandbits(64))
        if rng.random() < 0.05:
            driver.memory.write(SCRATCH, rng.randbytes(SCRATCH_SIZE))
        answers.add(driver.error(name, *arguments))
        driver.kernel.ended = None
        driver.set(driver.arch.sp, SCRATCH + SCRATCH_SIZE - 4096)
    assert {"", "EFAULT", "EINVAL", "EBADF", "ENOSYS", "ENOENT"} <= answers
    assert driver.kernel.trace.count == 2500


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_bad_pointers_are_efault(arch: str, tmp_path: Path) -> None:
    driver = Driver(arch, filled(tmp_path))
    number = driver.open(b"a.txt")
    for bad in (0, HOLE, 1 << 63, (1 << 64) - 1, 0x7F_B000_0000, SCRATCH + SCRATCH_SIZE):
        assert driver.error("write", 1, bad, 3) == "EFAULT"
        assert driver.error("read", number, bad, 3) == "EFAULT"
        assert driver.error("openat", -100, bad, 0) == "EFAULT"
        assert driver.error("fstat", number, bad) == "EFAULT"
        assert driver.error("getdents64", driver.open(b"."), bad, 4096) == "EFAULT"
        assert driver.error("uname", bad) == "EFAULT"
        assert driver.error("clock_gettime", 0, bad) == "EFAULT"
        assert driver.error("getrandom", bad, 8, 0) == "EFAULT"
        assert driver.error("writev", 1, bad, 1) == "EFAULT"
        assert driver.error("pipe2", bad, 0) == "EFAULT"
    assert driver.error("read", number, CODE, 3) == "EFAULT"  # its own code is not the guest's to write
    assert driver.error("write", 1, SCRATCH + SCRATCH_SIZE - 2, 3) == "EFAULT"  # the end is bad
    assert driver.call("read", number, SCRATCH + SCRATCH_SIZE - 2, 100) == 2  # a read stops there
    assert driver.kernel.output == b""


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_output_is_bounded(arch: str) -> None:
    driver = Driver(arch)
    written = 0
    for _ in range(40):
        done = driver.call("write", 1, SCRATCH, SCRATCH_SIZE)
        written += max(done, 0)
    assert written == len(driver.kernel.output) == 1 << 20
    assert driver.error("write", 2, SCRATCH, 1) == "ENOSPC"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_there_is_no_other_process_and_no_network(arch: str) -> None:
    driver = Driver(arch)
    assert driver.error("clone", 17) == "ENOSYS"
    assert driver.error("execve", b"/bin/sh", 0, 0) == "ENOSYS"
    assert driver.error("wait4", -1, 0, 0) == "ECHILD"
    assert driver.error("socket", 2, 1, 0) == "EAFNOSUPPORT"
    assert driver.error("kill", 1, 9) == "ESRCH"
    assert driver.error(599) == "ENOSYS"
    assert driver.kernel.trace.missing == (("syscall_599", 1),)
    assert "one process only" in str(driver.kernel.trace.calls[0])


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_clock_and_random_numbers_are_not_the_hosts(arch: str) -> None:
    def seen() -> list[bytes]:
        driver = Driver(arch)
        found = []
        for clock in (0, 1, 4):
            assert driver.call("clock_gettime", clock, SCRATCH) == 0
            found.append(driver.memory.read(SCRATCH, 16))
        assert driver.call("nanosleep", (3).to_bytes(8, "little") + bytes(8), 0) == 0
        assert driver.call("gettimeofday", SCRATCH, 0) == 0
        found.append(driver.memory.read(SCRATCH, 16))
        assert driver.call("getrandom", SCRATCH, 64, 0) == 64
        found.append(driver.memory.read(SCRATCH, 64))
        return found

    first = seen()
    assert first == seen()
    assert int.from_bytes(first[0][:8], "little") == 1_000_000_000
    assert int.from_bytes(first[3][:8], "little") == 1_000_000_003
    assert len(set(first[4])) > 20


def test_the_table_has_only_calls_that_have_numbers() -> None:
    known = {name for names in NAMES.values() for name in names.values()}
    assert set(CALLS) <= known
    assert all(set(entry.kinds) <= KINDS for entry in CALLS.values())
    assert len(CALLS) > 100
