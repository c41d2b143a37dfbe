"""Section headers, symbols and program headers of a rewritten file, against lief's and readelf's reading."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from typing import Any

import lief
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import InputError
from lab.images.image import Image, parse_image
from rewriters.elf_tables import Changes, Moved, NewSection, NewSymbol, eh_frame_header, finish
from tests.metadata.images import corpus_image, host_image
from tests.rewriters.unwinding import new_segment, tool_is_silent

ARCHES = ("aarch64", "x86_64")
SIZE = 0x2000


@cache
def tree() -> tuple[Image, bytes, int]:
    image = corpus_image("tree", "aarch64")
    return (image, *extended(image))


def extended(image: Image) -> tuple[bytes, int]:
    """The file of *image* with a new segment of SIZE bytes, and its address."""
    binary = lief.ELF.parse(list(image.path.read_bytes()))
    segment = new_segment(binary, bytes(SIZE))
    return bytes(binary.write_to_bytes()), int(segment.virtual_address)


def symbols(data: bytes) -> dict[str, list[tuple[int, int, str, str]]]:
    """Name -> (value, size, binding, section's name) of every symbol of that name."""
    binary = lief.ELF.parse(list(data))
    names = [str(section.name) for section in binary.sections]
    found: dict[str, list[tuple[int, int, str, str]]] = {}
    for symbol in binary.symtab_symbols:
        home = names[symbol.shndx] if symbol.shndx < len(names) else ""
        found.setdefault(str(symbol.name), []).append((symbol.value, symbol.size, symbol.binding.name, home))
    return found


def relocations(data: bytes) -> list[tuple[int, int, str]]:
    """Every retained relocation: address, type, the symbol's name."""
    binary = lief.ELF.parse(list(data))
    return sorted((r.address, int(r.type), str(r.symbol.name) if r.has_symbol else "") for r in binary.relocations)


def move_first(image: Image, base: int) -> tuple[Changes, Any]:
    """Changes that move one function, with a new size, and name a trampoline."""
    function = max((f for f in image.functions if f.size >= 8), key=lambda f: (len(f.names), f.size))
    body = Moved(function.start, function.end, base + 64, base + 64 + function.size + 16)
    return (
        Changes(
            sections=[NewSection(".text.unwindlab", base, SIZE, executable=True)],
            symbols=[NewSymbol(f"{function.name}.detour", base, 32), NewSymbol("ärger\udcff", base + 32, 4)],
            moved=[body],
            place=lambda old: base + 80 + old - function.start if function.start < old < function.end else None,
        ),
        function,
    )


@pytest.mark.parametrize("arch", ARCHES)
def test_every_name_of_a_moved_function_moves(arch: str) -> None:
    image = host_image(arch, "c", ("-static", "-Wl,--emit-relocs"))
    data, base = extended(image)
    changes, function = move_first(image, base)
    done = finish(data, changes, "x")
    before, after = symbols(data), symbols(done)
    home = ".text.unwindlab"
    for name in function.names:
        assert [(value, size, section) for value, size, _, section in after[name]] == [
            (base + 64, function.size + 16, home)
        ]
    assert after[f"{function.name}.detour"] == [(base, 32, "LOCAL", home)]
    if arch == "aarch64":
        assert (base, 0, "LOCAL", home) in after["$x"]
        assert [entry for entry in after["$x"] if entry[0] != base] == before["$x"]
    kept = set(before) - set(function.names) - {"$x", ""}
    assert all(after[name] == before[name] for name in kept if before[name][0][0] != function.start)
    new = parse_image(done, image.path)
    assert new.function_at(base + 64) is not None
    assert new.locate(base + 4) == f"{function.name}.detour+0x4"


@pytest.mark.parametrize("arch", ARCHES)
def test_retained_relocations_keep_their_symbols(arch: str) -> None:
    image = host_image(arch, "c", ("-static", "-Wl,--emit-relocs"))
    data, base = extended(image)
    done = finish(data, move_first(image, base)[0], "x")
    assert len(relocations(data)) > 1000
    assert relocations(done) == relocations(data)


@pytest.mark.parametrize("arch", ARCHES)
def test_local_symbols_come_first(arch: str) -> None:
    image = host_image(arch, "c")
    data, base = extended(image)
    done = finish(data, move_first(image, base)[0], "x")
    binary = lief.ELF.parse(list(done))  # kept: its parts die with it
    bindings = [symbol.binding.name for symbol in binary.symtab_symbols]
    count = bindings.count("LOCAL")
    assert set(bindings[:count]) == {"LOCAL"}
    header = next(section for section in binary.sections if section.name == ".symtab")
    assert header.information == count


@pytest.mark.parametrize("flags", [("-static", "-s"), ("-static",), ("-static-pie", "-fPIE")])
@pytest.mark.parametrize("arch", ARCHES)
def test_nothing_loaded_changes_but_the_headers(arch: str, flags: tuple[str, ...]) -> None:
    image = host_image(arch, "c", flags)
    data, base = extended(image)
    header = (base + 64, 100) if eh_frame_header(data) else None
    new = [NewSection(".eh_frame", base, SIZE), NewSection(".text.unwindlab", base, 0x100, executable=True)]
    done = finish(data, Changes(sections=new, header=header), "x")
    first, second = parse_image(data, image.path), parse_image(done, image.path)
    headers = range(first.segments[0].address, first.segments[0].address + 64 + 56 * 16)
    for old, now in zip(first.segments, second.segments, strict=True):
        assert (old.address, old.size, old.flags) == (now.address, now.size, now.flags)
        changed = [old.address + i for i, (a, b) in enumerate(zip(old.data, now.data, strict=True)) if a != b]
        assert all(address in headers for address in changed)
    assert eh_frame_header(done) == header
    section = second.section(".eh_frame")
    assert section is not None
    assert (section.address, section.size) == (base, SIZE)
    kept, was = second.section(".eh_frame.old"), first.section(".eh_frame")
    assert kept is not None
    assert was is not None
    assert (kept.address, kept.data) == (was.address, was.data)


@pytest.mark.parametrize("arch", ARCHES)
def test_a_file_without_section_headers_gets_ours(arch: str) -> None:
    image = corpus_image("tree", arch)
    data, base = extended(image)
    bare = bytearray(data)
    bare[40:48], bare[58:64] = bytes(8), bytes(6)
    done = finish(bytes(bare), Changes(sections=[NewSection(".eh_frame", base, 16)]), "x")
    assert [section.name for section in parse_image(done, image.path).sections] == [".eh_frame"]
    path = Path(image.path.parent / f"{image.path.name}.bare")
    path.write_bytes(done)
    try:
        assert ".shstrtab" in tool_is_silent("readelf", "-aW", path=path)
    finally:
        path.unlink()


def test_what_lies_in_no_segment_is_an_error() -> None:
    image = corpus_image("tree", "aarch64")
    data, base = extended(image)
    with pytest.raises(InputError, match=r"x: no segment holds 16384 bytes"):
        finish(data, Changes(sections=[NewSection(".eh_frame", base, 2 * SIZE)]), "x")
    lost = Changes(
        sections=[NewSection(".text.unwindlab", base, 16, executable=True)], symbols=[NewSymbol("f", base + 16, 4)]
    )
    with pytest.raises(InputError, match="no new section holds"):
        finish(data, lost, "x")


@settings(deadline=None)
@given(st.data())
def test_damaged_section_headers_are_an_error_or_harmless(data: st.DataObject) -> None:
    image, raw, base = tree()
    (table,) = struct.unpack_from("<Q", raw, 40)
    spoiled = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(40, 63), st.integers(table, len(raw) - 1)))
        spoiled[at] = data.draw(st.integers(0, 255))
    spoiled[54:58] = raw[54:58]  # the program headers have been checked before
    changes, _ = move_first(image, base)
    try:
        done = finish(bytes(spoiled), changes, "x")
    except InputError as error:
        assert str(error).startswith("x: ")
    else:
        assert len(done) > len(raw)
