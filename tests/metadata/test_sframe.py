"""SFrame: the bits of both versions, round trips, and sections nobody vouches for."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.arch import AARCH64, ARCHES, X86_64, Arch
from lab.errors import InputError
from lab.metadata.rules import (
    CfaBase,
    Deref,
    Flag,
    Format,
    FpPlace,
    Kind,
    RaPlace,
    Reason,
    Row,
    Rule,
    RuleTable,
    unsupported,
)
from lab.metadata.sframe import FIXED_RA, FdeType, Fre, Function, Sframe, parse_sframe
from lab.metadata.sframe_rules import MOST_ROWS, read_sframe, rule_of
from lab.metadata.sframe_write import to_sframe, write_sframe
from tests.metadata.strategies import TEXT, tables

AT = 0x500000
VERSIONS = st.sampled_from([1, 2])


def made(*fdes: bytes, fres: bytes = b"", count: int = 0, **header: Any) -> bytes:
    """A section at AT: FDEs, then rows; *header* overrides its fields."""
    body = b"".join(fdes)
    fields = {"magic": 0xDEE2, "version": 2, "flags": 1, "abi": 3, "fp": 0, "ra": -8, "aux": 0, "fdes": len(fdes)}
    fields |= {"fres": count, "length": len(fres), "fdeoff": 0, "freoff": len(body)}
    return struct.pack("<HBBBbbBIIIII", *(fields | header).values()) + body + fres


def fde(
    start: int = TEXT - AT,
    size: int = 0x40,
    at: int = 0,
    rows: int = 1,
    info: int = 0,
    block: int = 0,
    version: int = 2,
) -> bytes:
    return struct.pack("<iIIIB", start, size, at, rows, info) + (bytes([block, 0, 0]) if version > 1 else b"")


def read(data: bytes, arch: Arch = X86_64) -> RuleTable:
    return read_sframe(data, AT, arch, "made.elf")


ROW = b"\x00\x03\x08"  # from 0: SP + 8
CALL = Rule(Kind.NORMAL, CfaBase.SP, 8, ra_place=RaPlace.CFA, ra_offset=-8)


def shape(arch: Arch, fp: int = 0, ra: int | None = None) -> Sframe:
    return Sframe(2, 1, fp, FIXED_RA[arch.name] if ra is None else ra, ())


@pytest.mark.parametrize(
    ("arch", "fre", "rule"),
    [
        (X86_64, Fre(0, CfaBase.SP, (8,), mangled=False), CALL),
        (X86_64, Fre(0, CfaBase.FP, (16, -16), mangled=False), Rule(1, 1, 16, 0, 1, -8, FpPlace.CFA, -16)),
        (X86_64, Fre(0, CfaBase.SP, (8, 0, 0), mangled=False), unsupported(Reason.UNKNOWN)),
        (X86_64, Fre(0, CfaBase.SP, (), mangled=False), unsupported(Reason.UNKNOWN)),
        (AARCH64, Fre(0, CfaBase.SP, (0,), mangled=True), Rule(Kind.NORMAL, flags=Flag.RA_SIGNED)),
        (AARCH64, Fre(0, CfaBase.SP, (16, -8), mangled=False), Rule(1, 0, 16, 0, RaPlace.CFA, -8)),
        (AARCH64, Fre(0, CfaBase.FP, (32, -24, -32), mangled=True), Rule(1, 1, 32, 0, 1, -24, FpPlace.CFA, -32, 1)),
    ],
)
def test_what_rows_mean(arch: Arch, fre: Fre, rule: Rule) -> None:
    assert rule_of(shape(arch), fre, arch) == rule


def test_fixed_offsets_of_the_header() -> None:
    one = Fre(0, CfaBase.FP, (16,), mangled=False)
    assert rule_of(shape(X86_64, fp=-16), one, X86_64) == Rule(1, 1, 16, 0, 1, -8, FpPlace.CFA, -16)
    assert rule_of(shape(X86_64, ra=0), one, X86_64) == unsupported(Reason.RA_UNSAVED)
    two = one._replace(offsets=(16, -8))
    assert rule_of(shape(X86_64, ra=0), two, X86_64) == CALL._replace(cfa_base=CfaBase.FP, cfa_offset=16)


@pytest.mark.parametrize("version", [1, 2])
def test_addresses_and_offsets_of_every_size(version: int) -> None:
    fres = b"\x00\x03\x08" + b"\x04\x25\x00\x01\xf0\xff" + b"\x08\x44\x00\x00\x01\x00\xf0\xff\xff\xff"
    wide = b"".join(struct.pack("<I", at) + ROW[1:] for at in (0, 0x10000))
    middle = b"".join(struct.pack("<H", at) + ROW[1:] for at in (0, 0x100))
    fdes = [
        fde(rows=3, version=version),
        fde(TEXT + 0x100 - AT, 0x200, len(fres), 2, 1, version=version),
        fde(TEXT + 0x1000 - AT, 0x20000, len(fres + middle), 2, 2, version=version),
    ]
    table = read(made(*fdes, fres=fres + middle + wide, count=7, version=version))
    second = CALL._replace(cfa_offset=256, fp_place=FpPlace.CFA, fp_offset=-16)
    assert table.rows == (
        Row(TEXT, TEXT + 4, CALL),
        Row(TEXT + 4, TEXT + 8, second),
        Row(TEXT + 8, TEXT + 0x40, second._replace(cfa_base=CfaBase.FP, cfa_offset=65536)),
        Row(TEXT + 0x100, TEXT + 0x300, CALL),
        Row(TEXT + 0x1000, TEXT + 0x21000, CALL),
    )
    assert table.units == (TEXT, TEXT + 0x100, TEXT + 0x1000)


def test_addresses_relative_to_themselves() -> None:
    start = TEXT - AT - 28
    assert read(made(fde(start), fres=ROW, count=1, flags=5)).rows[0].start == TEXT
    assert read(made(fde(start), fres=ROW, count=1, flags=1)).rows[0].start == TEXT - 28


def test_functions_out_of_order_and_auxiliary_headers() -> None:
    fdes = (fde(TEXT + 0x40 - AT), fde(at=3))
    data = made(*fdes, fres=ROW + b"\x00\x03\x10", count=2, flags=0, aux=4)
    data = data[:28] + b"more" + data[28:]
    assert [(row.start, row.rule.cfa_offset) for row in read(data).rows] == [(TEXT, 16), (TEXT + 0x40, 8)]


def test_repeated_blocks() -> None:
    fres = ROW + b"\x0b\x03\x10"
    table = read(made(fde(size=0x20, rows=2, info=0x10, block=16), fres=fres, count=2))
    ends = [0xB, 0x10, 0x1B, 0x20]
    assert [(row.end - TEXT, row.rule.cfa_offset) for row in table.rows] == list(zip(ends, [8, 16] * 2, strict=True))
    # Version 1: pc & 0xb >= 0xb, true of 0xb and of 0xf in each 16 bytes.
    table = read(made(fde(size=0x20, rows=2, info=0x10, version=1), fres=fres, count=2, version=1))
    deep = {at for at in range(0x20) if table.at(TEXT + at) == CALL._replace(cfa_offset=16)}
    assert deep == {0xB, 0xF, 0x1B, 0x1F}
    assert all(table.at(TEXT + at) == CALL for at in range(0x20) if at not in deep)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xe2\xde", "truncated"),
        (made(magic=0xE2DE), "is big-endian"),
        (made(magic=0x1234), "magic number 0x1234"),
        (made(version=3), "SFrame version 3 is not supported, only 1 and 2"),
        (made(version=0), "SFrame version 0 is not supported"),
        (made(version=1, flags=4), "unknown flags 0x4 for SFrame version 1"),
        (made(flags=8), "unknown flags 0x8"),
        (made(abi=2), "ABI 2 is not that of x86_64"),
        (made(fdes=1), "truncated"),
        (made(length=1), "truncated"),
        (made() + b"x", "1 bytes follow the table"),
        (made(fde(), fres=ROW, count=1, freoff=3) + bytes(0), "overlap|follow"),
        (made(fde(), fres=ROW, count=2), "1 more row entries"),
        (made(fde(rows=2), fres=ROW, count=1), "more row entries than the header"),
        (made(fde(info=0x40), fres=ROW, count=1), "function information 0x40"),
        (made(fde(info=3), fres=ROW, count=1), "function information 0x3"),
        (made(fde(info=0x10), fres=ROW, count=1), "repeated block of 0 bytes"),
        (made(fde(start=-(1 << 31)), fres=ROW, count=1), "outside the address space"),
        (made(fde(), fres=b"\x00\x63\x08", count=1), "row information 0x63"),
        (made(fde(), fres=b"\x40\x03\x08", count=1), "out of order, or beyond"),
        (made(fde(rows=2), fres=ROW + ROW, count=2), "out of order, or beyond"),
        (made(fde(at=1), fres=ROW, count=1), "truncated"),
    ],
)
def test_damage_and_unknown_versions_are_one_line(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(data)
    assert str(caught.value).startswith("made.elf: .sframe at 0x5000")


@pytest.mark.parametrize("version", [1, 2])
def test_blocks_that_repeat_without_end_are_refused(version: int) -> None:
    rows = b"\x00\x03\x08\x01\x03\x10"
    big = fde(size=MOST_ROWS * 4, rows=2, info=0x10, block=4, version=version)
    with pytest.raises(InputError, match="repeats blocks to more than"):
        read(made(big, fres=rows, count=2, version=version))


def test_a_mask_wider_than_repeated_code_is_refused() -> None:
    one = fde(size=0x400, info=0x11, version=1)
    with pytest.raises(InputError, match="a mask above 0xff"):
        read(made(one, fres=b"\x00\x01\x03\x08", count=1, version=1))


@given(tables(), st.sampled_from(ARCHES), VERSIONS)
def test_what_a_version_can_say_survives_it(table: RuleTable, arch: Arch, version: int) -> None:
    said = to_sframe(table, arch, version)
    data = write_sframe(said, arch, version, AT)
    again = read_sframe(data, AT, arch, "x")
    assert (again.rows, again.units) == (said.rows, said.units)
    assert said.size == (len(data) if said.rows else 0)
    assert not again.losses
    assert to_sframe(again, arch, version).rows == said.rows
    assert [function.start for function in parse_sframe(data, AT, arch, "x").functions] == list(said.units)


@given(tables(), st.sampled_from(ARCHES), VERSIONS)
def test_every_row_is_said_or_lost(table: RuleTable, arch: Arch, version: int) -> None:
    said = to_sframe(table, arch, version)
    lost = {loss.start: loss for loss in said.losses}
    for row in table.rows:
        found = said.at(row.start)
        assert found == said.at(row.end - 1)
        if row.start in lost:
            assert (lost[row.start].end, found) == (row.end, None)
        elif row.rule.kind == Kind.UNDEFINED:
            assert found is None
        elif row.rule.fp_place == FpPlace.FP:
            assert found is not None
            assert found.cfa_offset + found.fp_offset == row.rule.fp_offset
        else:
            assert found == row.rule


@pytest.mark.parametrize(
    ("arch", "rule", "reason"),
    [
        (X86_64, CALL._replace(ra_offset=-16), Reason.RA_OFFSET),
        (X86_64, CALL._replace(ra_place=RaPlace.LR), Reason.RA_IN_LR),
        (X86_64, CALL._replace(cfa_deref=Deref.BEFORE), Reason.CFA_DEREF),
        (X86_64, CALL._replace(flags=Flag.SIGNAL), Reason.SIGNAL),
        (X86_64, CALL._replace(fp_place=FpPlace.UNDEFINED), Reason.FP_UNDEFINED),
        (X86_64, CALL._replace(fp_place=FpPlace.FP), Reason.FP_PLACE),
        (X86_64, CALL._replace(kind=Kind.REGS), Reason.KIND),
        (X86_64, Rule(Kind.END), Reason.OUTERMOST),
        (X86_64, CALL._replace(cfa_offset=1 << 31), Reason.OFFSET_RANGE),
        (X86_64, unsupported(Reason.CFA_EXPRESSION), Reason.CFA_EXPRESSION),
        (AARCH64, Rule(Kind.NORMAL, fp_place=FpPlace.CFA, fp_offset=-16), Reason.FP_PLACE),
    ],
)
def test_what_sframe_cannot_say(arch: Arch, rule: Rule, reason: Reason) -> None:
    table = RuleTable(Format.DWARF, (Row(TEXT, TEXT + 4, rule),))
    assert [loss.reason for loss in to_sframe(table, arch, 2).losses] == [reason]


def test_code_longer_than_a_size_field_and_too_far_away() -> None:
    whole = (Row(TEXT, TEXT + (1 << 31), CALL), Row(TEXT + (1 << 31), TEXT + (1 << 32), CALL._replace(cfa_offset=16)))
    said = to_sframe(RuleTable(Format.DWARF, whole), X86_64, 2)
    assert said.units == (TEXT, TEXT + (1 << 31))
    more = RuleTable(Format.DWARF, (Row(TEXT, TEXT + (1 << 32), CALL),))
    assert [loss.reason for loss in to_sframe(more, X86_64, 2).losses] == [Reason.RANGE]
    with pytest.raises(InputError, match="more than 2 GiB away"):
        write_sframe(said, X86_64, 2, 1 << 40)
    with pytest.raises(ValueError, match="SFrame version 3"):
        to_sframe(said, X86_64, 3)


@given(st.binary(max_size=120), VERSIONS, st.sampled_from(ARCHES))
def test_garbage_is_a_table_or_one_line(data: bytes, version: int, arch: Arch) -> None:
    header = made(abi=2 if arch is AARCH64 else 3, version=version)[:7]
    try:
        table = read(header + data, arch)
    except InputError as error:
        assert str(error).startswith("made.elf: .sframe ")
        assert len(error.lines) == 1
    else:
        assert all(table.at(row.start) == row.rule for row in table.rows)


@given(tables(), VERSIONS, st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=3))
def test_flipped_bytes_are_a_table_or_one_line(table: RuleTable, version: int, flips: list[tuple[int, int]]) -> None:
    data = bytearray(write_sframe(to_sframe(table, X86_64, version), X86_64, version, AT))
    for at, bits in flips:
        data[at % len(data)] ^= bits
    try:
        found = read(bytes(data))
    except InputError as error:
        assert str(error).startswith("made.elf: .sframe ")
    else:
        assert all(row.start < row.end for row in found.rows)


def test_function_types_and_keys_are_kept() -> None:
    found = parse_sframe(made(fde(info=0x30, block=8), fres=ROW, count=1), AT, X86_64, "x")
    (function,) = found.functions
    assert function == Function(
        TEXT, 0x40, FdeType.PCMASK, 8, key_b=True, fres=(Fre(0, CfaBase.SP, (8,), mangled=False),)
    )
