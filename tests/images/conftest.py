"""A small machine for the corpus: unicorn and three system calls.  (The lab's own machine is tested elsewhere.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.images.image import Image, load_image

PAGE = 0x1000
STACK_TOP = 0x7FFF_0000
STACK_SIZE = 1 << 20
TIMEOUT_US = 60_000_000


@dataclass(frozen=True)
class Outcome:
    """What a run wrote to standard output, its exit status, and the instructions executed (0 = not counted)."""

    output: str
    status: int | None
    instructions: int


@pytest.fixture(scope="session")
def emulate() -> Callable[..., Outcome]:
    """Runs a static image to its exit; called with its path, and count=True to count instructions."""
    return _emulate


@pytest.fixture(scope="session")
def stack_top() -> int:
    """The initial stack pointer of every run."""
    return STACK_TOP


def _emulate(path: Path, count: bool = False) -> Outcome:
    import unicorn
    from unicorn import arm64_const as a64
    from unicorn import x86_const as x64

    image = load_image(path)
    arm = image.arch.name == "aarch64"
    machine = (
        unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        if arm
        else unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    )
    names = ("X8", "X0", "X1", "X2") if arm else ("RAX", "RDI", "RSI", "RDX")
    space, prefix = (a64, "UC_ARM64_REG_") if arm else (x64, "UC_X86_REG_")
    number, first, second, third = (getattr(space, prefix + name) for name in names)
    write, leave = (64, 94) if arm else (1, 231)
    output = bytearray()
    state: dict[str, int] = {"count": 0}

    def system_call(*_: object) -> None:
        call = machine.reg_read(number)
        if call == write:
            output.extend(machine.mem_read(machine.reg_read(second), machine.reg_read(third)))
        elif call == leave:
            state["status"] = machine.reg_read(first)
            machine.emu_stop()

    def step(*_: object) -> None:
        state["count"] += 1

    _load(machine, image)
    machine.reg_write(getattr(space, prefix + ("SP" if arm else "RSP")), STACK_TOP)
    if arm:
        machine.hook_add(unicorn.UC_HOOK_INTR, system_call)
    else:
        machine.hook_add(unicorn.UC_HOOK_INSN, system_call, None, 1, 0, x64.UC_X86_INS_SYSCALL)
    if count:
        machine.hook_add(unicorn.UC_HOOK_CODE, step)
    machine.emu_start(image.entry, 0, timeout=TIMEOUT_US)
    return Outcome(output.decode("ascii"), state.get("status"), state["count"])


def _load(machine: Any, image: Image) -> None:
    pages = {
        page
        for segment in image.segments
        for page in range(segment.address & -PAGE, (segment.end + PAGE - 1) & -PAGE, PAGE)
    }
    for page in sorted(pages):
        machine.mem_map(page, PAGE)
    for segment in image.segments:
        machine.mem_write(segment.address, segment.data)
    machine.mem_map(STACK_TOP - STACK_SIZE, STACK_SIZE + PAGE)
    machine.mem_write(STACK_TOP - STACK_SIZE, b"\xa5" * STACK_SIZE)
