"""brk, mmap and their like, all from the arena."""

from __future__ import annotations

import pytest

from lab.machine.linux.pages import ARENA, ARENA_SIZE
from lab.machine.memory import PAGE
from tests.machine.linux.driver import CODE, SCRATCH, SHADOW, Driver
from tests.support import ARCH_NAMES

ANON, FIXED, NOREPLACE = 0x22, 0x10, 0x100000
READ, WRITE, EXEC = 1, 2, 4


@pytest.fixture(params=ARCH_NAMES)
def driver(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


def take(driver: Driver, size: int, prot: int = READ | WRITE, flags: int = ANON, at: int = 0) -> int:
    return driver.call("mmap", at, size, prot, flags, -1, 0)


def test_the_heap_grows_shrinks_and_comes_back_zeroed(driver: Driver) -> None:
    start = driver.call("brk", 0)
    assert start == ARENA
    assert driver.call("brk", start + 5000) == start + 5000
    assert driver.call("read", 0, start, 1) == 0  # the end of standard input, and not EFAULT
    driver.memory.write(start + PAGE, b"old")
    assert driver.call("brk", start + 10) == start + 10
    assert driver.error("uname", start + PAGE) == "EFAULT"
    assert driver.call("brk", start + 3 * PAGE) == start + 3 * PAGE
    assert driver.memory.read(start + PAGE, 3) == bytes(3)
    assert driver.call("brk", start - 1) == start + 3 * PAGE
    assert driver.call("brk", start + ARENA_SIZE + 1) == start + 3 * PAGE


def test_mappings_come_from_the_top_and_are_reused_zeroed(driver: Driver) -> None:
    first = take(driver, 3 * PAGE)
    assert first == ARENA + ARENA_SIZE - 3 * PAGE
    assert take(driver, 1) == first - PAGE
    driver.memory.write(first, b"old")
    assert driver.call("munmap", first, 3 * PAGE) == 0
    assert driver.error("uname", first) == "EFAULT"
    assert take(driver, 2 * PAGE) == first + PAGE
    assert driver.memory.read(first + PAGE, 3) == bytes(3)
    assert driver.error("mmap", 0, ARENA_SIZE + 1, READ, ANON, -1, 0) == "ENOMEM"
    assert driver.error("mmap", 0, 1 << 60, READ, ANON, -1, 0) == "ENOMEM"
    assert driver.error("mmap", 0, 0, READ, ANON, -1, 0) == "EINVAL"


def test_heap_and_mappings_never_overlap(driver: Driver) -> None:
    low = take(driver, ARENA_SIZE - 4 * PAGE)
    assert low == ARENA + 4 * PAGE
    assert driver.call("brk", ARENA + 5 * PAGE) == ARENA
    assert driver.call("brk", ARENA + 4 * PAGE) == ARENA + 4 * PAGE
    assert driver.error("mmap", 0, PAGE, READ, ANON, -1, 0) == "ENOMEM"


def test_nothing_becomes_executable(driver: Driver) -> None:
    at = take(driver, PAGE)
    assert driver.error("mmap", 0, PAGE, READ | EXEC, ANON, -1, 0) == "EACCES"
    assert driver.error("mprotect", at, PAGE, READ | EXEC) == "EACCES"
    assert driver.error("mprotect", SCRATCH, PAGE, EXEC) == "EACCES"
    assert driver.error("mprotect", CODE, PAGE, READ | WRITE) == "EACCES"
    assert driver.call("mprotect", CODE, PAGE, READ | EXEC) == 0


def test_rights_are_those_of_each_page(driver: Driver) -> None:
    at = take(driver, 4 * PAGE)
    assert driver.call("mprotect", at + PAGE, PAGE, READ) == 0
    assert driver.error("uname", at + PAGE) == "EFAULT"
    assert driver.call("write", 1, at + PAGE, 3) == 3
    assert driver.call("mprotect", at + PAGE, PAGE, 0) == 0
    assert driver.error("write", 1, at + PAGE, 3) == "EFAULT"
    assert driver.error("write", 1, at, PAGE + 1) == "EFAULT"
    assert driver.call("uname", at) == 0
    assert driver.error("mprotect", at + 4 * PAGE - ARENA_SIZE, PAGE, READ) == "ENOMEM"
    assert driver.error("mprotect", at, 1 << 62, READ) == "ENOMEM"
    assert driver.error("mprotect", at + 1, PAGE, READ) == "EINVAL"
    assert driver.call("mprotect", SCRATCH, PAGE, READ) == 0
    assert driver.error("uname", SCRATCH) == "EFAULT"


def test_fixed_places(driver: Driver) -> None:
    at = take(driver, 2 * PAGE)
    driver.memory.write(at, b"old")
    assert take(driver, PAGE, flags=ANON | FIXED, at=at) == at
    assert driver.memory.read(at, 3) == bytes(3)
    assert driver.error("mmap", at, PAGE, READ, ANON | NOREPLACE, -1, 0) == "EEXIST"
    assert driver.error("mmap", SCRATCH, PAGE, READ, ANON | FIXED, -1, 0) == "ENOMEM"
    assert driver.error("mmap", at + 1, PAGE, READ, ANON | FIXED, -1, 0) == "EINVAL"


def test_a_parallel_shadow_stack_is_there_once_it_is_mapped_and_not_in_the_trace(driver: Driver) -> None:
    """A rewritten program makes this call, the original does not: their traces are equal all the same."""
    assert driver.error("uname", SHADOW + PAGE) == "EFAULT"
    before = driver.kernel.trace.count
    assert take(driver, 4 * PAGE, flags=ANON | NOREPLACE | 0x4000, at=SHADOW + PAGE) == SHADOW + PAGE
    assert driver.kernel.trace.count == before
    assert driver.call("uname", SHADOW + PAGE) == 0
    assert driver.error("uname", SHADOW) == "EFAULT"
    assert driver.error("mmap", SHADOW, 17 * PAGE, READ, ANON | NOREPLACE, -1, 0) == "ENOMEM"


def test_mremap_moves_grows_and_shrinks(driver: Driver) -> None:
    at = take(driver, PAGE)
    below = take(driver, PAGE)
    driver.memory.write(below, b"kept")
    assert driver.error("mremap", below, PAGE, 2 * PAGE, 0, 0) == "ENOMEM"  # *at* is in the way
    moved = driver.call("mremap", below, PAGE, 2 * PAGE, 1, 0)
    assert moved == below - 2 * PAGE
    assert driver.memory.read(moved, 4) == b"kept"
    assert driver.error("uname", below) == "EFAULT"
    assert driver.call("mremap", moved, 2 * PAGE, 3 * PAGE, 0, 0) == moved  # now there is room
    assert driver.call("mremap", moved, 3 * PAGE, PAGE, 0, 0) == moved
    assert driver.error("uname", moved + PAGE) == "EFAULT"
    assert driver.error("mremap", SCRATCH, PAGE, PAGE, 1, 0) == "EFAULT"
    assert driver.error("mremap", at, PAGE, 0, 1, 0) == "EINVAL"
    assert driver.error("mremap", at, PAGE, 1 << 46, 1, 0) == "ENOMEM"


def test_dontneed_clears(driver: Driver) -> None:
    at = take(driver, 2 * PAGE)
    driver.memory.write(at, b"old")
    assert driver.call("madvise", at, PAGE, 4) == 0
    assert driver.memory.read(at, 3) == bytes(3)
