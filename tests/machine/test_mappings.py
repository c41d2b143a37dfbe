"""What native code is told of guest memory: ranges, host addresses, rights."""

from __future__ import annotations

import ctypes

import pytest

from lab.images.image import Image
from lab.images.rawelf import PF_R, PF_W, PF_X
from lab.machine.machine import Machine
from tests.support import ARCH_NAMES, assemble


def returning(arch: str) -> Image:
    return assemble(arch, "FUNC test_main\nret\nEND test_main\n")


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_mappings_are_facts_in_address_order(arch: str) -> None:
    machine = Machine(returning(arch))
    starts = [mapping.start for mapping in machine.mappings]
    assert starts == sorted(starts)
    text = next(m for m in machine.mappings if m.start <= machine.image.entry < m.end)
    assert (text.writable, text.executable) == (False, True)
    stack = machine.mappings[-1]
    assert (stack.start, stack.end, stack.writable, stack.executable) == (*_stack(machine), True, False)
    machine.write(stack.start + 5, b"\x77")
    assert _host_byte(stack.host_address + 5) == 0x77
    assert machine.changeable == []


def _stack(machine: Machine) -> tuple[int, int]:
    return machine.stack_low, machine.stack_high


def _host_byte(address: int) -> int:
    return ctypes.c_uint8.from_address(address).value


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_what_is_writable_and_executable_is_changeable(arch: str) -> None:
    image = returning(arch)
    segments = tuple(
        segment
        if not segment.flags & PF_X
        else type(segment)(segment.address, segment.size, segment.data, PF_R | PF_W | PF_X)
        for segment in image.segments
    )
    open_image = Image(image.path, image.sha256, image.arch, False, image.entry, segments, (), (), {})
    machine = Machine(open_image)
    assert machine.changeable == [(m.start, m.end) for m in machine.mappings if m.executable]
    assert machine.changeable
