"""Exception tables: on whole programs their ends tile the section; by hand every field; damage is an error."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError
from lab.images.image import Image, Section
from lab.metadata.cfi import frames
from lab.metadata.cfi_expression import registers_read
from lab.metadata.cfi_lsda import CallSite, Lsda, lsda
from lab.metadata.cfi_reader import DATAREL, Reader
from tests.metadata.images import SPEC_SOURCE, host_image, host_program

BASE, FUNCTION = 0x300000, 0x401000


def tables(image: Image) -> tuple[Section, dict[str, Lsda]]:
    """The section of exception tables, and every table by its function."""
    unwind, section = image.section(".eh_frame"), image.section(".gcc_except_table")
    assert unwind is not None
    assert section is not None
    where = str(image.path)
    found = [fde for fde in frames(unwind.data, unwind.address, where).fdes if fde.lsda]
    read = {image.locate(f.start): lsda(section.data, section.address, where, f.lsda, f.start) for f in found}
    return section, read


@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_tables_tile_their_section(arch: str, language: str) -> None:
    section, found = tables(host_image(arch, language))
    ordered = sorted(found.values(), key=lambda table: table.address)
    assert len(ordered) > 5
    assert ordered[0].address == section.address
    assert section.address + section.size - ordered[-1].end in range(4)
    assert all(right.address - left.end in range(4) for left, right in pairwise(ordered))


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_catching_is_told_from_cleaning_up(arch: str) -> None:
    _, found = tables(host_image(arch, "c++"))
    assert found["_Z5outeri+0x0"].catches
    assert found["_Z6filteri+0x0"].catches
    assert (found["_Z4deepi+0x0"].catches, found["_Z4deepi+0x0"].cleans) == (False, True)
    assert not any(table.catches for table in tables(host_image(arch, "c"))[1].values())


def test_specifications_are_filters() -> None:
    image = host_program("x86_64", "c++", SPEC_SOURCE, ("-static", "-std=c++14", "-w"))
    _, found = tables(image)
    table = found["_Z8promisedi+0x0"]
    assert (table.catches, min(table.filters), table.specs) == (True, -1, b"\x01\x02\x00")
    assert len(table.types) == 2


HEAD = b"\xff\xff\x01"  # pads count from the function, no types, uleb128 call sites


def parse(data: bytes) -> Lsda:
    return lsda(data, BASE, "x", BASE, FUNCTION)


def test_every_field_by_hand() -> None:
    sites = bytes([0x04, 0x05, 0x40, 0x01, 0x10, 0x08, 0x00, 0x00])
    actions = bytes([0x02, 0x01, 0x00, 0x00])  # type 2, and if it does not match the next record: clean up
    head = b"\x00" + struct.pack("<Q", 0x402000) + b"\x1b"  # landing pads count from 0x402000; pc-relative types
    body = b"\x01" + bytes([len(sites)]) + sites + actions
    first = len(head) + 1 + len(body)
    types = struct.pack("<ii", 0x500000 - (BASE + first), 0)  # type 2; type 1 is "any"
    table = parse(head + bytes([len(body) + len(types)]) + body + types + b"tail")
    assert table.sites == (
        CallSite(FUNCTION + 4, FUNCTION + 9, 0x402040, 1),
        CallSite(FUNCTION + 16, FUNCTION + 24, 0, 0),
    )
    assert (table.types, table.type_encoding, table.specs) == ((0, 0x500000), 0x1B, b"")
    assert (table.actions, table.filters, table.catches) == (actions, {2, 0}, True)
    assert table.end == BASE + first + len(types)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "outside every section"),
        (b"\xff", "truncated"),
        (HEAD + b"\x05\x01", "truncated"),
        (b"\xff\xff\x11\x00", "call-site encoding 0x11"),
        (HEAD + b"\x04\x00\x01\x02\x09", "action outside"),
        (HEAD + b"\x04\x00\x01\x02\x01\x01\x00", "no type table"),
        (b"\xff\x1b\x20\x01\x04\x00\x01\x02\x01\x01\x00", "cannot be read"),
        (b"\xff\x01\x08\x01\x04\x00\x01\x02\x01\x01\x00\x00", "cannot be read"),
        (b"\xff\x1b\x08\x01\x04\x00\x01\x02\x01\x05\x00\x00\x00", "type 5 lies outside"),
        (b"\x30\x01\x00\x00\x00\x00\x00\x00\x00\xff\x01\x00", "unknown base"),
        (HEAD + b"\x08\x80\x80\x80\x80\x20\x01\x02\x00", "outside every function"),
    ],
)
def test_damage_is_an_error_that_says_where(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse(data)
    assert str(caught.value).startswith("x: ")


@given(st.binary(min_size=1, max_size=120))
def test_garbage_is_read_or_an_error(data: bytes) -> None:
    try:
        table = parse(data)
    except InputError as error:
        assert str(error).startswith("x: ")
    else:
        assert BASE < table.end <= BASE + len(data)


def test_chains_that_run_in_circles_end() -> None:
    sites = b"\x04\x00\x01\x02\x01"
    table = parse(HEAD + sites + b"\x00\x7f")  # a record whose next is itself
    assert table.filters == {0}
    assert not table.catches


def test_pointers_relative_to_data_need_a_base() -> None:
    reader = Reader(b"\x10\x00\x00\x00", BASE, "x")
    assert reader.pointer(0x3B, {DATAREL: 0x700000}) == 0x700010
    reader.at = 0
    with pytest.raises(InputError, match="unknown base"):
        reader.pointer(0x3B)
    assert Reader(bytes(4), BASE, "x").pointer(0x1B) == 0
    assert Reader(b"\xff" * 7 + struct.pack("<Q", 9), BASE + 1, "x").pointer(0x50) == 9


@pytest.mark.parametrize(
    ("expression", "registers"),
    [
        ("77 08 80 00 3f 1a 3b 2a 33 24 22", {7, 16}),  # an x86-64 PLT entry's
        ("8f 20 06", {31}),
        ("92 5a 7f 90 10 50", {90, 16, 0}),
        ("03 0000000000000000 08 ff 0e 0000000000000000 10 80 01 23 05 94 08 28 0000 15 02 96", set()),
    ],
)
def test_registers_an_expression_reads(expression: str, registers: set[int]) -> None:
    assert registers_read(bytes.fromhex(expression), "x") == registers


@pytest.mark.parametrize(("expression", "message"), [("9c", "0x9c"), ("f1 1b", "own place"), ("0e 00", "truncated")])
def test_expressions_that_do_not_belong_are_errors(expression: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        registers_read(bytes.fromhex(expression), "x")
