"""Random unwind programs through random span maps: before and after, every address has the same state."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lab.arch import Arch, arch_by_name
from lab.errors import InputError, RefusedError
from lab.images.image import Image, Section, Segment
from lab.metadata.cfi import Frames, frames, rows, state_at
from rewriters.unwind import Edits, Span, UnwindTables, build
from tests.metadata.test_cfi import agree, entry
from tests.rewriters.span_model import behind_pushes, expected

FRAMES, CODE, NEW, TABLES = 0x500000, 0x401000, 0x700000, 0x800000
#: SP's DWARF number, the CIE's factors and initial instructions, and the return-address column, by architecture.
SHAPE = {
    "aarch64": (31, 4, b"\x78", 30, b"\x0c\x1f\x00"),
    "x86_64": (7, 1, b"\x78", 16, b"\x0c\x07\x08\x90\x01"),
}
small = st.integers(0, 40)
register = st.sampled_from([0, 5, 19, 29, 30, 63, 64, 90])


def leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def on(opcode: int) -> st.SearchStrategy[bytes]:
    return st.tuples(register, small).map(lambda x: bytes([opcode]) + leb(x[0]) + leb(x[1]))


#: What pyelftools 0.32 understands as well.  It scales def_cfa_sf by the wrong factor and rejects the other two.
COMMON = st.one_of(
    st.integers(1, 9).map(lambda n: bytes([0x40 | n])),
    st.integers(1, 200).map(lambda n: bytes([2, n])),
    st.tuples(st.integers(0, 63), small).map(lambda x: bytes([0x80 | x[0]]) + leb(x[1])),
    st.integers(0, 63).map(lambda r: bytes([0xC0 | r])),
    register.map(lambda r: b"\x06" + leb(r)),
    register.map(lambda r: b"\x07" + leb(r)),
    register.map(lambda r: b"\x08" + leb(r)),
    on(0x05),
    register.map(lambda r: b"\x09" + leb(r) + b"\x14"),  # in register 20
    on(0x11),
    on(0x14),
    on(0x15),
    small.map(lambda n: b"\x0e" + leb(8 * n)),
    st.sampled_from([7, 31, 6, 29]).map(lambda r: b"\x0d" + leb(r)),
    st.tuples(st.sampled_from([7, 31, 29]), small).map(lambda x: b"\x0c" + leb(x[0]) + leb(8 * x[1])),
    st.just(b"\x0a\x0b"),
    st.just(b"\x2d"),
    register.map(lambda r: b"\x10" + leb(r) + b"\x02\x8d\x08"),  # saved where breg29 (x29 / r13-ish) + 8 says
    register.map(lambda r: b"\x16" + leb(r) + b"\x01\x35"),
)
OTHERS = st.one_of(
    on(0x2F),  # GNU_negative_offset_extended
    small.map(lambda n: b"\x12\x1d" + leb(n)),  # def_cfa_sf
    small.map(lambda n: b"\x2e" + leb(8 * n)),  # GNU_args_size
)


def programs_of(instructions: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.lists(st.lists(instructions, max_size=14).map(b"".join), min_size=1, max_size=3)


PROGRAMS = programs_of(st.one_of(COMMON, OTHERS))
SIZE = 0x100


@dataclass
class Fake:
    """An image that is nothing but an .eh_frame whose functions lie one behind the other."""

    image: Image
    frames: Frames


def fake(arch: Arch, programs: list[bytes], initial: bytes = b"") -> Fake:
    stack, code_align, data_align, column, first = SHAPE[arch.name]
    head = entry(bytes(4) + b"\x01zR\0" + bytes([code_align]) + data_align + bytes([column, 1, 0x1B]) + first + initial)
    data = head
    for index, program in enumerate(programs):
        place = struct.pack("<iI", CODE + SIZE * index - (FRAMES + len(data) + 8), SIZE)
        data += entry(struct.pack("<I", len(data) + 4) + place + b"\0" + program)
    data += bytes(4)
    section = Section(".eh_frame", FRAMES, len(data), data, False, False)
    code = Segment(CODE, SIZE * len(programs), b"", 5)
    image = Image(
        Path("fake.elf"), "", arch, False, CODE, (code, Segment(FRAMES, len(data), data, 4)), (section,), (), {}
    )
    return Fake(image, frames(data, FRAMES, "fake.elf"))


@st.composite
def span_maps(draw: st.DrawFn, functions: int, unit: int, top: int) -> list[Span]:
    """Spans at ever higher new addresses, of old code anywhere."""
    at, spans = NEW, []
    for _ in range(draw(st.integers(1, 12))):
        at += draw(st.sampled_from([0, 0, 0, 4, 64]))
        old = CODE + unit * draw(st.integers(0, (SIZE * functions - 1) // unit))
        size = unit * draw(st.integers(1, 30))
        pushed = 8 * draw(st.integers(0, 3)) if top else 0
        carried = draw(st.sampled_from([0, size, size, unit]))
        if carried == size:
            carried = size = min(size, CODE + SIZE * functions - old)
        spans.append(Span(at, at + size, old, pushed, carried))
        at += size
    return draw(st.permutations(spans))


def built(tables: UnwindTables) -> Frames:
    start, size = tables.eh_frame
    return frames(tables.data[start - TABLES : start - TABLES + size], start, "built")


@given(st.data(), st.sampled_from(["aarch64", "x86_64"]), PROGRAMS)
def test_every_state_is_the_old_one(data: st.DataObject, name: str, programs: list[bytes]) -> None:
    arch = arch_by_name(name)
    stack, unit, *_ = SHAPE[name]
    old = fake(arch, programs)
    spans = data.draw(span_maps(len(programs), unit, 3))
    tables = build(old.image, Edits(tuple(spans)), TABLES, header=True)
    assert tables is not None
    new = built(tables)
    behind = behind_pushes(spans, old.frames)
    for span in spans:
        for offset in range(0, span.new_end - span.new_start, unit):
            fde = new.at(span.new_start + offset)
            assert fde is not None
            wanted = expected(old.frames, span, offset, stack, behind=span.new_start in behind)
            assert state_at(fde, span.new_start + offset) == wanted
    for before, after in zip(old.frames.fdes, new.fdes, strict=False):
        assert (before.start, before.size, rows(before)) == (after.start, after.size, rows(after))
    check_header(tables, new)


@given(st.data(), st.sampled_from(["aarch64", "x86_64"]), programs_of(COMMON))
def test_pyelftools_reads_the_built_tables_alike(data: st.DataObject, name: str, programs: list[bytes]) -> None:
    old = fake(arch_by_name(name), programs)
    spans = data.draw(span_maps(len(programs), SHAPE[name][1], 3))
    tables = build(old.image, Edits(tuple(spans)), TABLES, header=True)
    assert tables is not None
    assert agree(built(tables)) > 0


def check_header(tables: UnwindTables, new: Frames) -> None:
    """The search table is sorted and holds every FDE."""
    assert tables.header is not None
    address, size = tables.header
    data = tables.data[:size]
    assert data[:4] == b"\x01\x1b\x03\x3b"
    pointer, count = struct.unpack_from("<iI", data, 4)
    assert address + 4 + pointer == tables.eh_frame[0]
    pairs = list(struct.iter_unpack("<ii", data[12:]))
    assert pairs == sorted(pairs)
    assert len(pairs) == count
    listed = {(start + address, place + address) for start, place in pairs}
    assert listed == {(fde.start, tables.eh_frame[0] + fde.offset) for fde in new.fdes if fde.size}


@given(st.data(), PROGRAMS, st.integers(0, 1 << 20))
def test_length_and_code_do_not_depend_on_the_address(data: st.DataObject, programs: list[bytes], move: int) -> None:
    old = fake(arch_by_name("x86_64"), programs)
    edits = Edits(tuple(data.draw(span_maps(len(programs), 1, 3))))
    here = build(old.image, edits, TABLES, header=True)
    shifted = tuple(
        Span(s.new_start + move, s.new_end + move, s.old_address, s.pushed, s.old_size) for s in edits.spans
    )
    there = build(old.image, Edits(shifted), TABLES + 8 * move, header=True)
    assert here is not None
    assert there is not None
    assert len(here.data) == len(there.data)


def test_dead_functions_lose_their_entry_and_the_rest_keeps_its_order() -> None:
    old = fake(arch_by_name("aarch64"), [b"\x42\x0e\x10", b"\x44\x0e\x20", b"\x41\x0e\x30"])
    middle = CODE + SIZE
    edits = Edits(
        (Span(NEW, NEW + SIZE, middle, 0, SIZE), Span(middle, middle + 4, middle)), ((middle, middle + SIZE),)
    )
    tables = build(old.image, edits, TABLES, header=False)
    assert tables is not None
    assert tables.header is None
    new = built(tables)
    assert [(fde.start, fde.size) for fde in new.fdes] == [
        (CODE, SIZE),
        (CODE + 2 * SIZE, SIZE),
        (middle, 4),
        (NEW, SIZE),
    ]
    assert state_at(new.fdes[3], NEW + 16).cfa.offset == 0x20
    assert tables.entries[FRAMES + old.frames.fdes[1].offset] == tables.entries[FRAMES + old.frames.fdes[2].offset]
    assert tables.entries[FRAMES + old.frames.end] == tables.eh_frame[0] + new.end


SP_BASED = {"cfa": b"\x0f\x02\x8f\x08", "saved": b"\x10\x05\x02\x8f\x00", "register": b"\x09\x05\x1f"}


@pytest.mark.parametrize("program", SP_BASED.values(), ids=SP_BASED)
def test_expressions_of_the_stack_pointer_cannot_follow_a_push(program: bytes) -> None:
    old = fake(arch_by_name("aarch64"), [program])
    still = build(old.image, Edits((Span(NEW, NEW + 8, CODE + 8),)), TABLES, header=True)
    assert still is not None
    with pytest.raises(RefusedError, match=r"0x401000 is computed from the stack pointer"):
        build(old.image, Edits((Span(NEW, NEW + 8, CODE + 8, 16),)), TABLES, header=True)


def test_expressions_of_the_program_counter_cannot_follow_a_move() -> None:
    old = fake(arch_by_name("x86_64"), [b"\x0f\x05\x77\x08\x80\x00\x22"])  # the PLT's: breg7 8, breg16 0, plus
    build(old.image, Edits((Span(CODE, CODE + 4, CODE),)), TABLES, header=True)
    with pytest.raises(RefusedError, match="program counter"):
        build(old.image, Edits((Span(NEW, NEW + 8, CODE + 8),)), TABLES, header=True)


def test_damaged_programs_hinder_only_what_needs_them() -> None:
    old = fake(arch_by_name("aarch64"), [b"\x3f", b"\x42\x0e\x10"])
    build(old.image, Edits((Span(NEW, NEW + 8, CODE + SIZE),)), TABLES, header=True)
    with pytest.raises(RefusedError, match=r"unknown call-frame opcode 0x3f; the function at 0x401000"):
        build(old.image, Edits((Span(NEW, NEW + 8, CODE),)), TABLES, header=True)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 100)), min_size=2, max_size=6))
def test_overlapping_new_code_is_refused(pieces: list[tuple[int, int]]) -> None:
    spans = [Span(NEW + start, NEW + start + size, CODE) for start, size in pieces]
    ordered = sorted(spans, key=lambda span: span.new_start)
    assume(any(left.new_end > right.new_start for left, right in zip(ordered, ordered[1:], strict=False)))
    with pytest.raises(RefusedError, match="overlaps"):
        build(fake(arch_by_name("x86_64"), [b""]).image, Edits(tuple(spans)), TABLES, header=False)


def test_locations_set_outright_are_moved_with_the_table() -> None:
    probe = fake(arch_by_name("x86_64"), [b"\x01" + bytes(4)])
    operand = FRAMES + probe.frames.fdes[0].begin + 1
    program = b"\x01" + struct.pack("<i", CODE + 0x20 - operand) + b"\x0e\x40"
    old = fake(arch_by_name("x86_64"), [program])
    tables = build(old.image, Edits(), TABLES, header=False)
    assert tables is not None
    assert [row.start for row in rows(built(tables).fdes[0])] == [CODE, CODE + 0x20]
    assert rows(built(tables).fdes[0]) == rows(old.frames.fdes[0])


def with_section(old: Fake, data: bytes, *, pie: bool = False) -> Image:
    (section,) = old.image.sections
    return replace(old.image, sections=(replace(section, data=data),), position_independent=pie)


def test_sections_that_cannot_be_carried_whole_are_refused() -> None:
    old = fake(arch_by_name("x86_64"), [b"\x42\x0e\x10"])
    data = old.frames.data
    with pytest.raises(RefusedError, match="goes on behind its terminator"):
        build(with_section(old, data + data), Edits(), TABLES, header=False)
    absolute = data.replace(b"\x01\x1b\x0c", b"\x01\x04\x0c")[:24]
    whole = absolute + entry(struct.pack("<IQQ", 28, CODE, SIZE) + b"\0") + bytes(4)
    assert build(with_section(old, whole), Edits(), TABLES, header=False) is not None
    with pytest.raises(RefusedError, match="absolute"):
        build(with_section(old, whole, pie=True), Edits(), TABLES, header=False)
    with pytest.raises(RefusedError, match="too large"):
        build(old.image, Edits(), TABLES + (1 << 32), header=False)
    with pytest.raises(InputError, match="align it to 8"):
        build(old.image, Edits(), TABLES + 4, header=False)
