"""Our reading of .eh_frame against pyelftools', on whole images of several compilers; and against damage."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import pytest
from elftools.dwarf.callframe import FDE, CallFrameInfo, RegisterRule
from elftools.dwarf.structs import DWARFStructs
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError
from lab.images.image import Image
from lab.metadata.cfi import Frames, fdes, frames, rows, state_at
from lab.metadata.cfi_state import Cfa, CfiState, How, Rule
from tests.metadata.images import corpus_image, host_image

BASE = 0x200000
HOW = {
    RegisterRule.UNDEFINED: How.UNDEFINED,
    RegisterRule.SAME_VALUE: How.SAME,
    RegisterRule.OFFSET: How.OFFSET,
    RegisterRule.VAL_OFFSET: How.VAL_OFFSET,
    RegisterRule.REGISTER: How.REGISTER,
    RegisterRule.EXPRESSION: How.EXPRESSION,
    RegisterRule.VAL_EXPRESSION: How.VAL_EXPRESSION,
}


def parse(image: Image) -> Frames:
    section = image.section(".eh_frame")
    assert section is not None
    return frames(section.data, section.address, str(image.path))


def theirs(data: bytes, address: int) -> list[Any]:
    """pyelftools' FDEs of a section; it insists on a terminator."""
    data += bytes(4)
    structs = DWARFStructs(little_endian=True, dwarf_format=32, address_size=8)
    entries = CallFrameInfo(BytesIO(data), len(data), address, structs, for_eh_frame=True).get_entries()
    return [entry for entry in entries if isinstance(entry, FDE)]


def their_rows(entry: Any) -> dict[int, tuple[Cfa, dict[int, Rule]]]:
    """pyelftools' table: location -> CFA and register rules; the last line at a location counts."""
    found = {}
    for line in entry.get_decoded().table:
        cfa = line["cfa"]
        rule = Cfa(None, 0, bytes(cfa.expr)) if cfa.expr is not None else Cfa(cfa.reg, cfa.offset)
        found[line["pc"]] = (rule, {reg: _rule(line[reg]) for reg in line if isinstance(reg, int)})
    return found


def _rule(rule: Any) -> Rule:
    how = HOW[rule.type]
    if how in {How.EXPRESSION, How.VAL_EXPRESSION}:
        return Rule(how, 0, bytes(rule.arg))
    return Rule(how, 0 if rule.arg is None else rule.arg)


def agree(found: Frames) -> int:
    """Compare every FDE and row with pyelftools; how many rows."""
    others = theirs(found.data, found.address)
    assert len(found.fdes) == len(others)
    compared = 0
    for ours, other in zip(found.fdes, others, strict=True):
        assert (ours.start, ours.size, ours.offset) == (
            other["initial_location"],
            other["address_range"],
            other.offset,
        )
        assert ours.lsda == (other.lsda_pointer or 0)
        lines = their_rows(other)
        for at in sorted(lines):
            if ours.start <= at < ours.end:
                state = state_at(ours, at)
                assert (state.cfa, dict(state.registers)) == lines[at], f"{at:#x}"
                compared += 1
        bounds = rows(ours)
        assert all(left.end == right.start for left, right in zip(bounds, bounds[1:], strict=False))
        assert (bounds[0].start, bounds[-1].end) == (ours.start, ours.end)
        assert all(state_at(ours, row.start) == row.state == state_at(ours, row.end - 1) for row in bounds)
    return compared


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
@pytest.mark.parametrize("name", ["printf", "regex", "alloca"])
def test_agrees_with_pyelftools_on_the_corpus(name: str, arch: str) -> None:
    assert agree(parse(corpus_image(name, arch))) > 40


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
@pytest.mark.parametrize("language", ["c", "c++"])
def test_agrees_with_pyelftools_on_host_programs(arch: str, language: str) -> None:
    assert agree(parse(host_image(arch, language))) > 1000


def test_signing_state_follows_negate_ra_state() -> None:
    found = parse(corpus_image("tree", "aarch64", ("-mbranch-protection=pac-ret",)))
    signed = [row.state.signed for fde in found.fdes for row in rows(fde)]
    assert True in signed
    assert False in signed
    assert not any(fde.fragment or fde.first.signed for fde in found.fdes)


def test_cold_parts_are_fragments_and_functions_are_not() -> None:
    image = host_image("x86_64", "c++")
    names = {fde.start: image.locate(fde.start) for fde in parse(image).fdes}
    parts = {names[fde.start] for fde in parse(image).fdes if fde.fragment}
    assert len([name for name in parts if ".cold" in name]) > 10
    assert not [name for name in parts if ".cold" not in name and not name.startswith("0x")]


def test_start_is_outermost_and_signal_return_a_signal_frame() -> None:
    image = host_image("x86_64")
    found = parse(image)
    assert [image.locate(fde.start) for fde in found.fdes if fde.outermost and image.entry == fde.start]
    (signal,) = [fde for fde in found.fdes if fde.signal]
    assert signal.first.cfa.expression is not None


@given(st.binary(max_size=300))
def test_garbage_is_read_or_an_error_with_an_address(data: bytes) -> None:
    try:
        for fde in fdes(data, BASE, "garbage.elf"):
            rows(fde)
    except InputError as error:
        assert str(error).startswith("garbage.elf: .eh_frame at 0x")


@given(st.binary(max_size=200), st.integers(1, 4), st.sampled_from([0x1B, 0x00, 0x01, 0x03, 0x0B, 0x1C, 0x50]))
def test_any_program_is_read_or_an_error(program: bytes, align: int, encoding: int) -> None:
    data = section(program, align=align, encoding=encoding)
    try:
        found = fdes(data, BASE, "x")
        for fde in found:
            for row in rows(fde):
                assert fde.start <= row.start < row.end <= fde.end
                assert state_at(fde, row.start) == row.state
    except InputError as error:
        assert str(error).startswith("x: .eh_frame at 0x2")


def entry(body: bytes) -> bytes:
    body += bytes(-(len(body) + 4) % 8)
    return struct.pack("<I", len(body)) + body


def cie(
    align: int = 1, text: bytes = b"zR", data: bytes | None = None, encoding: int = 0x1B, version: int = 1
) -> bytes:
    more = bytes([encoding]) if data is None else data
    size = bytes([len(more)]) if text.startswith(b"z") else b""
    fields = bytes([align, 0x78, 30]) + size + more
    return entry(bytes(4) + bytes([version]) + text + b"\0" + fields + b"\x0c\x1f\x00")


def section(program: bytes, *, align: int = 1, encoding: int = 0x1B, head: bytes | None = None) -> bytes:
    head = cie(align, encoding=encoding) if head is None else head
    field = len(head) + 8
    start = struct.pack("<iI", BASE + 0x1000 - (BASE + field), 0x100)
    return head + entry(struct.pack("<I", len(head) + 4) + start + b"\0" + program) + bytes(4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xff\xff\xff" + bytes(20), "64-bit DWARF"),
        (entry(struct.pack("<I", 0x40) + bytes(12)), "without a CIE"),
        (b"\x40\0\0\0\0\0\0\0", "truncated"),
        (b"\x40\0", "truncated"),
        (cie(version=7), "CIE version 7"),
        (cie(text=b"zRX"), "augmentation 'zRX'"),
        (cie(encoding=0x9B), "encoding 0x9b"),
        (cie(encoding=0xFF), "encoding 0xff"),
        (section(b"", encoding=0x3B), "unknown base"),
        (section(b"", encoding=0x0D), "unknown pointer format"),
    ],
)
def test_damage_is_an_error_that_says_where(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        fdes(data, BASE, "a.elf")
    assert str(caught.value).startswith("a.elf: .eh_frame at 0x20")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"\x3f", "unknown call-frame opcode 0x3f"),
        (b"\x0b", "restore_state without"),
        (b"\x0a" * 65, "more than 64 remembered"),
        (b"\x05\x80\x02\x00", "register number 256"),
        (b"\x0f\x01\x30\x0e\x08", "without the other"),
        (b"\x0e" + b"\x80" * 12, "longer than 64"),
        (b"\x01\x10\x00\x00\x00", "backwards"),
        (b"\x0f\x7f", "truncated"),
    ],
)
def test_damaged_programs_are_errors_only_when_asked_for(program: bytes, message: str) -> None:
    (fde,) = fdes(section(program), BASE, "a.elf")
    with pytest.raises(InputError, match=message):
        rows(fde)


def test_every_instruction_once() -> None:
    program = bytes.fromhex(
        "0c 1f 20 9e 02 05 1d 04 02 04"  # def_cfa sp+32, x30 at cfa-16, x29 at -32; advance 4
        "0a 2d 0d 1d 0e 30 07 13 08 14 09 15 09 42"  # remember, negate, cfa x29+48, undefined, same, register; 2
        "11 16 7e 14 17 02 15 18 7e 03 0200"  # offset sf +16, val -16, val +16; advance 2
        "10 19 02 8f00 16 1a 01 30 0f 02 8f08 2e 10 04 02000000"  # expressions, args_size 16; advance 2
        "2f 1b 02 12 1f 7e 13 7c 0b c0 de 06 1d"  # negative offset; def_cfa_sf, def_cfa_offset_sf; restore_state ...
    )
    (fde,) = fdes(section(program), BASE, "x")
    start = fde.start
    table = {row.start - start: row.state for row in rows(fde)}
    first = {30: Rule(How.OFFSET, -16), 29: Rule(How.OFFSET, -32)}
    assert table[0] == CfiState(Cfa(31, 32), first)
    second = first | {19: Rule(How.UNDEFINED), 20: Rule(How.SAME), 21: Rule(How.REGISTER, 9)}
    assert table[4] == CfiState(Cfa(29, 48), second, signed=True)
    third = second | {22: Rule(How.OFFSET, 16), 23: Rule(How.VAL_OFFSET, -16), 24: Rule(How.VAL_OFFSET, 16)}
    assert table[6] == CfiState(Cfa(29, 48), third, signed=True)
    fourth = third | {25: Rule(How.EXPRESSION, 0, b"\x8f\0"), 26: Rule(How.VAL_EXPRESSION, 0, b"\x30")}
    assert table[8] == CfiState(Cfa(None, 0, b"\x8f\x08"), fourth, signed=True, args_size=16)
    assert table[10] == CfiState(Cfa(31, 32), {}, signed=False, args_size=16)
    assert sorted(table) == [0, 4, 6, 8, 10]


def test_other_cies_and_discarded_functions() -> None:
    head = cie(text=b"eh", data=b"", version=1)
    old = entry(bytes(4) + b"\x01eh\0" + bytes(8) + bytes([1, 0x78, 16]) + b"\x0c\x07\x08\x90\x01")
    assert head
    field = struct.pack("<QQ", 0x401000, 0x20)
    found = frames(old + entry(struct.pack("<I", len(old) + 4) + field + b"\x41\x0e\x10"), BASE, "x")
    assert [(fde.start, fde.size, fde.cie.augmentation) for fde in found.fdes] == [(0x401000, 0x20, "eh")]
    assert rows(found.fdes[0])[-1].state == CfiState(Cfa(7, 16), {16: Rule(How.OFFSET, -8)})
    gone = old + entry(struct.pack("<I", len(old) + 4) + struct.pack("<QQ", 0, 0x20))
    assert (frames(gone, BASE, "x").fdes, len(frames(gone, BASE, "x").dropped)) == ((), 1)
