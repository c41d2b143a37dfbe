"""Registers that would show the host's clock or its random numbers."""

from __future__ import annotations

import pytest

from lab.machine.linux.counters import reads_counters
from lab.machine.machine import Machine, Process
from lab.machine.memory import PAGE, GuestMemory
from tests.support import assemble


def run(register: str) -> tuple[int, int]:
    """What two reads of *register* give."""
    body = f"mrs x19, {register}\n mrs x20, {register}\n str x19, [sp, #-16]!\n str x20, [sp, #-16]!\n"
    write = "mov x0, #1\n mov x1, sp\n mov x2, #32\n mov x8, #64\n svc #0\n mov x0, #0\n mov x8, #94\n svc #0\n"
    built = assemble("aarch64", f".arch armv8.5-a+rng\nFUNC _start\n{body}{write}END _start\n", start=False)
    output = Machine(built, process=Process(("p",))).execute(lambda pc: None).output
    return int.from_bytes(output[16:24], "little"), int.from_bytes(output[:8], "little")


@pytest.mark.parametrize("register", ["cntvct_el0", "cntpct_el0"])
def test_the_timer_goes_on_by_itself_and_always_alike(register: str) -> None:
    first, second = run(register)
    assert 0 < first < second
    assert run(register) == (first, second)


@pytest.mark.parametrize("register", ["rndr", "rndrrs"])
def test_random_numbers_are_the_same_in_every_run(register: str) -> None:
    first, second = run(register)
    assert first != second
    assert run(register) == (first, second)


def test_the_thread_pointer_is_left_alone() -> None:
    assert run("tpidr_el0") == (0, 0)


def test_only_code_that_reads_them_pays_for_it() -> None:
    memory = GuestMemory()
    memory.add(0x1000, PAGE, "image", writable=False, executable=True)
    memory.add(0x3000, PAGE, "data", writable=True, executable=False)
    assert not reads_counters(memory)
    memory.write(0x3000, bytes.fromhex("40e03bd5"))  # mrs x0, cntvct_el0, but as data
    memory.write(0x1002, bytes.fromhex("40e03bd5"))  # not at an instruction
    assert not reads_counters(memory)
    memory.write(0x1008, bytes.fromhex("5fe03bd5"))
    assert reads_counters(memory)
