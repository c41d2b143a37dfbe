"""The .eh_frame walker: against hypothesis' own sections, against damage, and against pyelftools."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError
from lab.images.image import Image, parse_image
from lab.layout import Flavour, Policy, Where
from rewriters import rewrite
from rewriters.ehframe import signing_changes

BASE = 0x200000


def _entry(body: bytes) -> bytes:
    body += b"\0" * (-(len(body) + 4) % 8)
    return struct.pack("<I", len(body)) + body


def _uleb(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value >> 7 else 0))
        value >>= 7
        if not value:
            return bytes(out)


def _cie(align: int = 1, augmentation: bytes = b"zR", register: int = 30, encoding: int = 0x1B) -> bytes:
    body = struct.pack("<I", 0) + b"\x01" + augmentation + b"\0" + _uleb(align) + b"\x78" + bytes([register])
    return _entry(body + b"\x01" + bytes([encoding]) + b"\x0c\x1f\x00")


def _section(program: bytes, align: int = 1, start: int = BASE + 0x1000, **cie: object) -> bytes:
    head = _cie(align, **cie)  # type: ignore[arg-type]
    field = len(head) + 8
    body = (
        struct.pack("<I", len(head) + 4) + struct.pack("<i", start - (BASE + field)) + struct.pack("<I", 0x100) + b"\0"
    )
    return head + _entry(body + program) + struct.pack("<I", 0)


Piece = tuple[bytes, int, bool]
small = st.integers(0, 0x3FFF)
PIECES: st.SearchStrategy[Piece] = st.one_of(
    st.integers(0, 63).map(lambda n: (bytes([0x40 | n]), n, False)),
    st.integers(0, 255).map(lambda n: (b"\x02" + bytes([n]), n, False)),
    st.integers(0, 0xFFFF).map(lambda n: (b"\x03" + struct.pack("<H", n), n, False)),
    st.integers(0, 0xFFFFFF).map(lambda n: (b"\x04" + struct.pack("<I", n), n, False)),
    st.just((b"\x2d", 0, True)),
    st.sampled_from([b"\x00", b"\x0a", b"\x0b", b"\xc0", b"\xde"]).map(lambda b: (b, 0, False)),
    small.map(lambda n: (b"\x9e" + _uleb(n), 0, False)),
    small.map(lambda n: (b"\x0c" + _uleb(29) + _uleb(n), 0, False)),
    small.map(lambda n: (b"\x0e" + _uleb(n), 0, False)),
    small.map(lambda n: (b"\x05" + _uleb(30) + _uleb(n), 0, False)),
)


@given(st.lists(PIECES, max_size=40), st.sampled_from([1, 2, 4]))
def test_walker_follows_any_program(pieces: list[Piece], align: int) -> None:
    location, expected = BASE + 0x1000, []
    for _, advance, negates in pieces:
        location += advance * align
        if negates:
            expected.append(location)
    changes = list(signing_changes(_section(b"".join(p[0] for p in pieces), align), BASE, "x"))
    assert [change.location for change in changes] == expected
    assert {change.function for change in changes} <= {BASE + 0x1000}


@given(st.binary(max_size=200))
def test_walker_never_breaks_on_garbage(data: bytes) -> None:
    try:
        found = list(signing_changes(data, BASE, "garbage.elf"))
    except InputError as error:
        assert str(error).startswith("garbage.elf: .eh_frame at 0x")
    else:
        assert isinstance(found, list)


@given(st.lists(PIECES, min_size=1, max_size=10), st.integers(1, 60))
def test_truncation_is_an_error_or_an_end(pieces: list[Piece], cut: int) -> None:
    whole = _section(b"".join(p[0] for p in pieces))
    try:
        found = list(signing_changes(whole[: max(len(whole) - 4 - cut, 0)], BASE, "x"))
    except InputError as error:
        assert "truncated" in str(error)
    else:
        assert found == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (_section(b"\x2d\x3f"), "unknown call-frame opcode 0x3f"),
        (_section(b"\x0f\x01\x00"), "unknown call-frame opcode 0xf"),
        (_section(b"", augmentation=b"zPLR"), "augmentation"),
        (_section(b"", register=29), "return-address register 29"),
        (_section(b"", encoding=0x1C), "pointer encoding"),
        (b"\xff\xff\xff\xff" + b"\0" * 20, "64-bit DWARF"),
        (_entry(struct.pack("<I", 0x40) + b"\0" * 12), "without a CIE"),
    ],
)
def test_what_the_kernel_would_not_take_is_an_error_with_its_address(section: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list(signing_changes(section, BASE, "a.elf"))
    assert "a.elf: .eh_frame at 0x20" in str(caught.value)


def _signed_ranges(image: Image) -> dict[int, bool]:
    """pc -> return address signed, from pyelftools' reading of .eh_frame."""
    from elftools.dwarf.callframe import FDE
    from elftools.elf.elffile import ELFFile

    signed: dict[int, bool] = {}
    with image.path.open("rb") as file:
        for entry in ELFFile(file).get_dwarf_info(relocate_dwarf_sections=False).EH_CFI_entries():
            if not isinstance(entry, FDE):
                continue
            start, size = entry["initial_location"], entry["address_range"]
            pc, state, saved = start, False, []
            for instruction in entry.instructions:
                opcode = instruction.opcode
                step = 0
                if opcode in {0x40, 2, 3, 4}:
                    step = instruction.args[0]
                elif opcode == 0x2D:
                    state = not state
                elif opcode == 0x0A:
                    saved.append(state)
                elif opcode == 0x0B:
                    state = saved.pop()
                for address in range(pc, pc + step * entry.cie["code_alignment_factor"], 4):
                    signed[address] = state
                pc += step * entry.cie["code_alignment_factor"]
            for address in range(pc, start + size, 4):
                signed[address] = state
    return signed


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("flavour", Flavour)
def test_layout_agrees_with_the_unwind_information(
    guest: Callable[..., Image], flavour: Flavour, policy: Policy
) -> None:
    """Where .eh_frame says "signed" the return address is on the shadow stack, and nowhere else: every instruction."""
    image = guest("aarch64", "pac", flavour)
    done = rewrite(image, "pac", flavour, policy)
    new = parse_image(done.data, image.path)
    signed = _signed_ranges(image)
    filled = {f.start for f in image.functions} - {image.symbols[site.function] for site in done.map.census.left_out}
    compared = 0
    for row in done.map.layout.rows:
        for pc in range(row.start, row.end, 4):
            function = new.function_at(pc)
            if function is not None and function.start in filled:
                assert (row.where is Where.SHADOW) == signed[pc], f"{image.locate(pc)}: {row.where}"
                compared += 1
    assert compared > 300
    assert any(signed.values())
