"""What fuzzing found, each once and by hand: damage that ended in a traceback, or was called the lab's own fault."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.images.image import load_image
from lab.layout import LayoutRow, Policy, Where
from rewriters import rewrite
from rewriters.rows import gaps
from tests.fuzz.mutate import EHDR, PHDR, SHDR, Parts, parts_of
from tests.rewriters import guests


@pytest.fixture(scope="module")
def sorted_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest whose sites do not come from .eh_frame, with a sorted table of that."""
    folder = tmp_path_factory.mktemp("sorted")
    return guests.build(folder, "x86_64", "xray", "cell", link_flags=("--build-id", "--eh-frame-hdr"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest with relocations, symbols and a site in every function."""
    return guests.build(tmp_path_factory.mktemp("found"), "aarch64", "pac", "cell")


def _put(raw: bytearray, parts: Parts, table: str, index: int, field: str, value: int) -> None:
    fields = {"header": EHDR, "segments": PHDR, "sections": SHDR}[table]
    where, (at, size) = parts.tables[table], fields[field]
    at += where.offset + where.record * index
    raw[at : at + size] = value.to_bytes(size, "little")


def _section(raw: bytes, parts: Parts, name: str) -> int:
    """The number of the section called *name*."""
    table = parts.tables["sections"]
    places = [struct.unpack_from("<QQ", raw, table.offset + 64 * i + 24) for i in range(table.count)]
    return places.index(parts.sections[name])


def _segment(raw: bytes, parts: Parts, flags: int) -> int:
    """The number of the PT_LOAD with *flags*."""
    table = parts.tables["segments"]
    headers = [struct.unpack_from("<II", raw, table.offset + 56 * i) for i in range(table.count)]
    return headers.index((1, flags))


def _error(path: Path) -> str:
    """The error of rewriting *path*, "" if there is none.  The policy needs code out of line."""
    try:
        rewrite(load_image(path), "pac", "parallel", Policy.CHECK)
    except InputError as error:
        assert error.exit_code == InputError.exit_code
        assert str(path) in str(error)
        return str(error)
    return ""


CASES = [
    (".rela.text", "sh_size", 0x17, "damaged relocation section"),
    (".rela.text", "sh_offset", ".text", "damaged relocation section"),
    (".symtab", "sh_addralign", (1 << 64) - 1, "damaged section alignment"),
]


@pytest.mark.parametrize(("name", "field", "value", "cause"), CASES)
def test_damaged_tables(name: str, field: str, value: int | str, cause: str, sound: Path, tmp_path: Path) -> None:
    raw = bytearray(sound.read_bytes())
    parts = parts_of(bytes(raw))
    _put(
        raw,
        parts,
        "sections",
        _section(raw, parts, name),
        field,
        parts.sections[value][0] if isinstance(value, str) else value,
    )
    (tmp_path / "x.elf").write_bytes(raw)
    assert cause in _error(tmp_path / "x.elf")


def _move_data(raw: bytearray, parts: Parts, address: int) -> None:
    """The writable segment, and the sections in it, begin at *address*, or just above."""
    index, table = _segment(raw, parts, 6), parts.tables["sections"]
    offset, old = struct.unpack_from("<QQ", raw, parts.tables["segments"].offset + 56 * index + 8)
    new = address + offset % 0x1000
    _put(raw, parts, "segments", index, "p_vaddr", new)
    for number in range(table.count):
        flags, start = struct.unpack_from("<QQ", raw, table.offset + 64 * number + 8)
        if flags & 3 == 3:
            _put(raw, parts, "sections", number, "sh_addr", start - old + new)


def test_the_lowest_segment_need_not_hold_the_headers(sound: Path, tmp_path: Path) -> None:
    raw = bytearray(sound.read_bytes())
    _move_data(raw, parts_of(bytes(raw)), 0x10000)
    (tmp_path / "x.elf").write_bytes(raw)
    image = load_image(tmp_path / "x.elf")
    assert image.header_ranges[0] == (image.segments[1].address, image.segments[1].address + 64)
    assert _error(tmp_path / "x.elf") == ""


def test_a_jump_too_far_names_the_file(sound: Path, tmp_path: Path) -> None:
    raw = bytearray(sound.read_bytes())
    _move_data(raw, parts_of(bytes(raw)), 1 << 40)
    (tmp_path / "x.elf").write_bytes(raw)
    assert "cannot reach" in _error(tmp_path / "x.elf")


def test_sections_that_are_not_what_is_loaded(sound: Path, tmp_path: Path) -> None:
    raw = bytearray(sound.read_bytes())
    parts = parts_of(bytes(raw))
    _put(raw, parts, "sections", _section(raw, parts, ".text"), "sh_offset", parts.sections[".text"][0] + 8)
    (tmp_path / "x.elf").write_bytes(raw)
    with pytest.raises(InputError, match=r"x\.elf: section \.text is not what is loaded at 0x"):
        load_image(tmp_path / "x.elf")


def test_rows_for_gaps_do_not_overlap() -> None:
    known = [LayoutRow(12, 16, Where.LR)]
    found = gaps([(10, 20), (10, 20), (18, 24), (0, 4)], known)
    assert [(row.start, row.end) for row in found] == [(0, 4), (10, 12), (16, 20), (20, 24)]


def test_a_function_around_several_overlaps_them_all(sound: Path, tmp_path: Path) -> None:
    """Its neighbours in the table share nothing with each other, only with it."""
    raw = bytearray(sound.read_bytes())
    parts = parts_of(bytes(raw))
    image = load_image(sound)
    first = next(f for f in image.functions if f.name == "leaf")
    table = parts.tables[".symtab"]
    for index in range(table.count):
        at = table.offset + table.record * index
        info, value, size = raw[at + 4], *struct.unpack_from("<QQ", raw, at + 8)
        if (info & 15, value, size) == (2, first.start, first.size):
            struct.pack_into("<Q", raw, at + 16, image.functions[-1].end - first.start)
    (tmp_path / "x.elf").write_bytes(raw)
    inner = [f.name for f in image.functions if f.start > first.start]
    assert len(inner) > 5
    with pytest.raises(InputError, match="no function can be rewritten"):
        rewrite(load_image(tmp_path / "x.elf"), "pac", "parallel", Policy.CHECK)


def _unsorted(raw: bytearray, parts: Parts) -> None:
    at = parts.sections[".eh_frame_hdr"][0] + 12
    raw[at : at + 16] = raw[at + 8 : at + 16] + raw[at : at + 8]


def _short(raw: bytearray, parts: Parts) -> None:
    _put(raw, parts, "sections", _section(raw, parts, ".eh_frame_hdr"), "sh_size", 2)


def _unframed(raw: bytearray, parts: Parts) -> None:
    at = parts.sections[".eh_frame"][0]
    raw[at : at + 4] = b"\xf0\xff\xff\x7f"


def _unled(raw: bytearray, parts: Parts) -> None:
    table = parts.tables["segments"]
    kinds = [struct.unpack_from("<I", raw, table.offset + 56 * i)[0] for i in range(table.count)]
    _put(raw, parts, "segments", kinds.index(0x6474E550), "p_type", 0)


def _codeless(raw: bytearray, parts: Parts) -> None:
    """The first FDE, behind the CIE, is about much more than there is."""
    at = parts.sections[".eh_frame"][0]
    at += 4 + struct.unpack_from("<I", raw, at)[0]
    struct.pack_into("<I", raw, at + 12, 0x7FFF_0000)


IN_LINE, OUT_OF_LINE = Policy.USE, Policy.CHECK  # the latter writes .eh_frame anew, from what there was
UNWINDING = [(_unsorted, IN_LINE), (_short, IN_LINE), (_unframed, IN_LINE), (_codeless, IN_LINE), (_unled, OUT_OF_LINE)]


@pytest.mark.parametrize(("damage", "policy"), UNWINDING)
def test_damaged_unwind_information_is_the_files_own_fault(
    damage: Callable[[bytearray, Parts], None], policy: Policy, sorted_one: Path, tmp_path: Path
) -> None:
    raw = bytearray(sorted_one.read_bytes())
    damage(raw, parts_of(bytes(raw)))
    (tmp_path / "x.elf").write_bytes(raw)
    with pytest.raises(InputError, match=r"x\.elf: its unwind information is damaged"):
        rewrite(load_image(tmp_path / "x.elf"), "xray", "parallel", policy)


def test_two_sections_of_a_name_that_must_be_unique(sorted_one: Path, tmp_path: Path) -> None:
    raw = bytearray(sorted_one.read_bytes())
    parts = parts_of(bytes(raw))
    table = parts.tables["sections"]
    header, comment = (table.offset + 64 * _section(raw, parts, name) for name in (".eh_frame_hdr", ".comment"))
    raw[comment : comment + 64] = raw[header : header + 64]
    (tmp_path / "x.elf").write_bytes(raw)
    with pytest.raises(InputError, match=r"two sections are called \.eh_frame_hdr"):
        rewrite(load_image(tmp_path / "x.elf"), "xray", "parallel", Policy.CHECK)


def test_an_entry_in_the_middle_of_a_function(sound: Path, tmp_path: Path) -> None:
    raw = bytearray(sound.read_bytes())
    parts = parts_of(bytes(raw))
    inside = next(f for f in load_image(sound).functions if f.name == "fib").start + 4
    _put(raw, parts, "header", 0, "e_entry", inside)
    (tmp_path / "x.elf").write_bytes(raw)
    assert "lies inside fib" in _error(tmp_path / "x.elf")
