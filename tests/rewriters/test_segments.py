"""The writer of segments changes what it is asked to, and no other byte."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.images.image import Image, parse_image
from lab.images.rawelf import PF_R, PF_W, PF_X, PT_GNU_STACK, PT_LOAD, PT_NOTE, program_headers
from rewriters.segments import PAGE, SegmentTable
from tests.support import ARCH_NAMES, assemble

BODY = "FUNC test_main\n nop\n ret\nEND test_main\n .data\n .quad 1\n .bss\n .zero 64\n"


def _sound(arch: str = "aarch64") -> tuple[Image, bytes]:
    image = assemble(arch, BODY)
    return image, image.path.read_bytes()


def _headers(raw: bytes) -> list[tuple[int, ...]]:
    return program_headers(Path("x"), raw)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_nothing_asked_nothing_changed(arch: str) -> None:
    image, raw = _sound(arch)
    assert SegmentTable(image, raw).file() == raw


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_only_what_is_asked_changes(arch: str) -> None:
    image, raw = _sound(arch)
    table = SegmentTable(image, raw)
    address = image.segments[-1].end + 8 * PAGE & -PAGE
    assert table.replace((PT_NOTE,), PF_R | PF_X, address, 5, b"hello")
    table.patch(image.symbols["test_main"], b"\x01\x02")
    table.grow(image.segments[-1].end + 100)
    table.enter(image.symbols["test_main"])
    made = table.file()
    new = parse_image(made, image.path)
    assert new.entry == image.symbols["test_main"]
    assert new.read(new.entry, 2) == b"\x01\x02"
    assert new.read(address, 5) == b"hello"
    assert new.segments[-2].end == image.segments[-1].end + 100
    assert made[-5:] == b"hello"
    at = struct.unpack_from("<Q", raw, 32)[0]
    allowed = {*range(24, 32), *range(at, at + 56 * len(_headers(raw)))}
    changed = {i for i in range(len(raw)) if raw[i] != made[i]} - allowed
    assert len(changed) == 2
    assert parse_image(raw, image.path).sections == tuple(s for s in image.sections)


def test_a_segment_in_the_place_of_an_early_header_is_sorted() -> None:
    image, raw = _sound()
    shuffled = bytearray(raw)
    at = struct.unpack_from("<Q", raw, 32)[0]
    headers = [raw[at + 56 * i : at + 56 * (i + 1)] for i in range(len(_headers(raw)))]
    headers.sort(key=lambda header: header[:4] != struct.pack("<I", PT_NOTE))
    shuffled[at : at + 56 * len(headers)] = b"".join(headers)
    table = SegmentTable(image, bytes(shuffled))
    assert table.replace((PT_NOTE, PT_GNU_STACK), PF_R | PF_W, 1 << 32, 64)
    loads = [header[3] for header in _headers(table.file()) if header[0] == PT_LOAD]
    assert loads == sorted(loads)
    assert loads[-1] == 1 << 32


def test_without_a_header_to_spare_nothing_is_placed() -> None:
    image, raw = _sound()
    assert not SegmentTable(image, raw).replace((0x1234,), PF_R, 1 << 32, 64)


def test_what_the_file_does_not_hold_cannot_be_patched() -> None:
    image, raw = _sound()
    with pytest.raises(InputError, match=r"the file holds no 4 bytes for 0x"):
        SegmentTable(image, raw).patch(image.segments[-1].end - 4, b"1234")  # .bss


def test_headers_are_no_code() -> None:
    image, raw = _sound()
    table = SegmentTable(image, raw)
    for offset in (0, 62, 64 + 56):
        with pytest.raises(InputError, match="lies in the file's headers"):
            table.patch(image.segments[0].address + offset, b"1234")


def _shared(raw: bytearray, at: int, loads: list[int]) -> None:
    offset, size = struct.unpack_from("<Q", raw, at + 56 * loads[0] + 8)[0], 16
    struct.pack_into("<QQQQ", raw, at + 56 * loads[1] + 8, offset, 1 << 32, 0, size)


def test_bytes_that_are_loaded_twice_cannot_be_changed_once() -> None:
    image, raw = _sound()
    damaged = bytearray(raw)
    at = struct.unpack_from("<Q", raw, 32)[0]
    _shared(damaged, at, [i for i, header in enumerate(_headers(raw)) if header[0] == PT_LOAD])
    with pytest.raises(InputError, match="two segments share bytes of the file"):
        SegmentTable(image, bytes(damaged))
