"""ORC: both layouts, round trips, and sections nobody vouches for."""

from __future__ import annotations

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lab.arch import AARCH64, ARCHES, X86_64, Arch
from lab.errors import InputError
from lab.metadata.orc import (
    HEADERS,
    Entry,
    Layout,
    OrcReg,
    OrcSections,
    OrcType,
    entry_of,
    pack,
    read_orc,
    rule_of,
    unpack,
)
from lab.metadata.orc_write import to_orc, write_orc
from lab.metadata.rules import (
    CfaBase,
    Deref,
    Flag,
    Format,
    FpPlace,
    Kind,
    Loss,
    RaPlace,
    Reason,
    Row,
    Rule,
    RuleTable,
    unsupported,
)
from lab.metadata.tables import read_tables
from tests.metadata.images import corpus_image, host_image
from tests.metadata.strategies import TEXT, tables

IP, END = 0x500000, TEXT + 0x1000000
HEADER = next(iter(HEADERS))
CALL = Rule(Kind.NORMAL, CfaBase.SP, 8, ra_place=RaPlace.CFA, ra_offset=-8)


def sections(layout: Layout, *entries: tuple[int, bytes]) -> OrcSections:
    """Sections from (address, six bytes)."""
    places = [address - IP - 4 * number for number, (address, _) in enumerate(entries)]
    ip = b"".join(place.to_bytes(4, "little", signed=True) for place in places)
    return OrcSections(b"".join(entry for _, entry in entries), ip, HEADER if layout is Layout.V6_4 else b"")


def read(found: OrcSections, arch: Arch = X86_64) -> RuleTable:
    return read_orc(found, IP, END, arch, "made.elf")


@pytest.mark.parametrize(
    ("layout", "raw", "entry"),
    [
        (Layout.V6_1, "0800 0000 0500", Entry(8, 0, OrcReg.SP, OrcReg.UNDEFINED, OrcType.CALL)),
        (Layout.V6_1, "1000 f0ff 1400", Entry(16, -16, OrcReg.BP, OrcReg.PREV_SP, OrcType.CALL)),
        (Layout.V6_1, "0000 0000 0501", Entry(0, 0, OrcReg.SP, 0, OrcType.REGS, signal=True)),
        (Layout.V6_1, "0000 0000 0502", Entry(0, 0, OrcReg.SP, 0, OrcType.REGS_PARTIAL, signal=True)),
        (Layout.V6_1, "0000 0000 0004", Entry(type=OrcType.END_OF_STACK)),
        (Layout.V6_1, "0000 0000 0000", Entry()),
        (Layout.V6_4, "0800 0000 0502", Entry(8, 0, OrcReg.SP, OrcReg.UNDEFINED, OrcType.CALL)),
        (Layout.V6_4, "0000 0000 050b", Entry(0, 0, OrcReg.SP, 0, OrcType.REGS, signal=True)),
        (Layout.V6_4, "0000 0000 0504", Entry(0, 0, OrcReg.SP, 0, OrcType.REGS_PARTIAL)),
        (Layout.V6_4, "0000 0000 0001", Entry(type=OrcType.END_OF_STACK)),
        (Layout.V6_4, "0000 0000 0000", Entry()),
    ],
)
def test_the_bits_of_both_layouts(layout: Layout, raw: str, entry: Entry) -> None:
    data = bytes.fromhex(raw)
    assert unpack(data, layout) == entry
    assert pack(entry, layout) == data


@pytest.mark.parametrize("layout", Layout)
def test_every_value_is_an_entry_or_has_unused_bits(layout: Layout) -> None:
    lost = 0
    for bits in range(1 << 16):
        data = struct.pack("<hhH", -8, 24, bits)
        entry = unpack(data, layout)
        types = bits >> 8 & (7 if layout is Layout.V6_4 else 3)
        unused = bits >> (12 if layout is Layout.V6_4 else 11)
        assert (entry is None) == bool(unused or types > (4 if layout is Layout.V6_4 else 2))
        if entry is not None and pack(entry, layout) != data:
            # The kernel looks at 6.1's end bit only where there is no base, and at its type only where there is one.
            assert layout is Layout.V6_1
            assert bits & 0x400 if bits & 0xF else bits & 0x300
            lost += 1
    assert lost == (0 if layout is Layout.V6_4 else 15 * 16 * 3 + 16 * 4)


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        (Entry(8, 0, OrcReg.SP, 0, OrcType.CALL), CALL),
        (
            Entry(16, -16, OrcReg.BP, OrcReg.PREV_SP, OrcType.CALL),
            CALL._replace(cfa_base=CfaBase.FP, cfa_offset=16, fp_place=FpPlace.CFA, fp_offset=-16),
        ),
        (
            Entry(8, -24, OrcReg.SP, OrcReg.BP, OrcType.CALL, signal=True),
            CALL._replace(fp_place=FpPlace.FP, fp_offset=-24, flags=Flag.SIGNAL),
        ),
        (Entry(8, 0, OrcReg.SP_INDIRECT, 0, OrcType.CALL), CALL._replace(cfa_deref=Deref.BEFORE)),
        (Entry(8, 0, OrcReg.BP_INDIRECT, 0, 2), CALL._replace(cfa_base=CfaBase.FP, cfa_deref=Deref.AFTER)),
        (Entry(8, 0, OrcReg.SP, 0, OrcType.REGS), CALL._replace(kind=Kind.REGS, ra_offset=128)),
        (Entry(8, 0, OrcReg.SP, 0, OrcType.REGS_PARTIAL), CALL._replace(kind=Kind.REGS_PARTIAL, ra_offset=0)),
        (Entry(8, 0, OrcReg.R10, 0, OrcType.CALL), unsupported(Reason.CFA_REGISTER)),
        (Entry(8, 0, OrcReg.DI, 0, OrcType.CALL), unsupported(Reason.CFA_REGISTER)),
        (Entry(8, 0, 12, 0, OrcType.CALL), unsupported(Reason.UNKNOWN)),
        (Entry(8, 0, OrcReg.SP, OrcReg.DI, OrcType.CALL), unsupported(Reason.FP_REGISTER)),
        (Entry(type=OrcType.END_OF_STACK), Rule(Kind.END, ra_place=RaPlace.UNDEFINED)),
        (Entry(), Rule(Kind.UNDEFINED)),
    ],
)
def test_what_entries_mean(entry: Entry, rule: Rule) -> None:
    assert rule_of(entry, X86_64) == rule
    if rule.kind == Kind.UNSUPPORTED:
        assert entry_of(rule, X86_64, Layout.V6_4) == rule.reason
    else:
        assert entry_of(rule, X86_64, Layout.V6_4) == entry


def test_on_aarch64_the_return_address_is_above_the_saved_fp() -> None:
    entry = Entry(32, -32, OrcReg.SP, OrcReg.PREV_SP, OrcType.CALL)
    rule = Rule(Kind.NORMAL, CfaBase.SP, 32, 0, RaPlace.CFA, -24, FpPlace.CFA, -32)
    assert rule_of(entry, AARCH64) == rule
    assert entry_of(rule, AARCH64, Layout.V6_4) == entry
    assert entry_of(rule._replace(ra_offset=-8), AARCH64, Layout.V6_4) == Reason.RA_OFFSET
    assert entry_of(Rule(Kind.NORMAL), AARCH64, Layout.V6_4) == Reason.RA_IN_LR
    assert rule_of(Entry(0, 0, OrcReg.SP, 0, OrcType.CALL), AARCH64) == unsupported(Reason.RA_IN_LR)


def test_entries_hold_up_to_the_next_and_terminators_yield() -> None:
    call, other = pack(Entry(8, 0, OrcReg.SP, 0, 2), Layout.V6_4), pack(Entry(16, 0, OrcReg.SP, 0, 2), Layout.V6_4)
    end = bytes(6)
    found = sections(Layout.V6_4, (TEXT + 0x20, other), (TEXT + 0x20, end), (TEXT, call), (TEXT + 0x30, end))
    assert read(found).rows == (
        Row(TEXT, TEXT + 0x20, CALL),
        Row(TEXT + 0x20, TEXT + 0x30, CALL._replace(cfa_offset=16)),
    )
    assert read(sections(Layout.V6_4, (TEXT, call))).rows == (Row(TEXT, END, CALL),)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (OrcSections(bytes(6), bytes(4), b"\x01" * 20), "names an unknown layout \\(0101"),
        (OrcSections(bytes(6), bytes(4), bytes.fromhex("db84aed4103b31dd51e017f8f79783ca985c2c51")), "of Linux 6.3"),
        (OrcSections(bytes(6), bytes(8), b""), "do not match"),
        (OrcSections(bytes(7), bytes(4), b""), "do not match"),
        (OrcSections(bytes(5) + b"\xf0", bytes(4), b""), "entry 0 is damaged"),
        (OrcSections(bytes(5) + b"\x05", bytes(4), HEADER), "entry 0 is damaged"),
        (OrcSections(b"\x08\0\0\0\x05\x02", bytes(4), b""), "not of Linux 6.1"),
    ],
)
def test_damage_and_unknown_layouts_are_one_line(found: OrcSections, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(found)
    assert str(caught.value).startswith("made.elf: ")


@given(tables(), st.sampled_from(ARCHES), st.sampled_from(Layout))
def test_what_a_layout_can_say_survives_it(table: RuleTable, arch: Arch, layout: Layout) -> None:
    said = to_orc(table, arch, layout)
    kinds = {row.rule.kind for row in said.rows}
    assume(layout is not Layout.V6_1 or Kind.REGS_PARTIAL not in kinds or Kind.NORMAL in kinds)  # else: not 6.1's
    found = write_orc(said, arch, layout, IP)
    again = read_orc(found, IP, END, arch, "x")
    assert again.rows == said.rows
    assert again.size == said.size == sum(map(len, (found.unwind, found.ip, found.header)))
    assert to_orc(again, arch, layout).rows == said.rows
    assert not to_orc(again, arch, layout).losses


@given(tables(), st.sampled_from(ARCHES), st.sampled_from(Layout))
def test_every_row_is_said_or_lost(table: RuleTable, arch: Arch, layout: Layout) -> None:
    said = to_orc(table, arch, layout)
    lost = {loss.start: loss for loss in said.losses if loss.reason != Reason.RA_SIGNED}
    for row in table.rows:
        found = said.at(row.start)
        assert found == said.at(row.end - 1)
        if row.start in lost:
            assert lost[row.start].end == row.end
            assert found is None or found.kind == Kind.UNDEFINED
        elif row.rule.kind == Kind.UNDEFINED or row.rule.kind == Kind.END:
            assert found is not None
            assert found.kind == row.rule.kind
        else:
            assert found == row.rule._replace(flags=row.rule.flags & Flag.SIGNAL)
    outside = {row.end for row in table.rows} - {row.start for row in table.rows}
    assert all(rule is None or rule.kind == Kind.UNDEFINED for rule in map(said.at, outside))


@given(st.binary(max_size=60), st.binary(max_size=40), st.sampled_from([b"", HEADER]), st.sampled_from(ARCHES))
def test_garbage_is_a_table_or_one_line(unwind: bytes, ip: bytes, header: bytes, arch: Arch) -> None:
    try:
        table = read(OrcSections(unwind, ip, header), arch)
    except InputError as error:
        assert str(error).startswith("made.elf: .orc_")
        assert len(error.lines) == 1
    else:
        assert len(table.rows) <= len(ip) // 4


@given(st.lists(st.tuples(st.integers(TEXT, TEXT + 64), st.integers(0, 0xFFF)), max_size=20), st.sampled_from(Layout))
def test_any_entries_are_written_back_with_the_same_meaning(raw: list[tuple[int, int]], layout: Layout) -> None:
    entries = [(address, struct.pack("<hhH", 8, -16, bits)) for address, bits in raw]
    entries = [item for item in entries if unpack(item[1], layout) is not None]
    whole = [*entries, (TEXT, pack(Entry(8, 0, OrcReg.SP, 0, OrcType.CALL), layout)), (TEXT + 65, bytes(6))]
    table = read(sections(layout, *whole))
    said = to_orc(table, X86_64, layout)
    again = read_orc(write_orc(said, X86_64, layout, IP), IP, END, X86_64, "x")
    for pc in range(TEXT, TEXT + 65):
        before, after = table.at(pc), again.at(pc)
        assert before is not None
        if before.kind in {Kind.UNSUPPORTED, Kind.UNDEFINED}:
            assert after is None or after.kind == Kind.UNDEFINED
        else:
            assert after == before


def test_code_too_far_away_is_one_line() -> None:
    table = RuleTable(Format.ORC, (Row(TEXT, TEXT + 4, CALL),))
    with pytest.raises(InputError, match="more than 2 GiB away"):
        write_orc(table, X86_64, Layout.V6_4, 1 << 40)
    with pytest.raises(ValueError, match="FP_UNDEFINED"):
        lost = CALL._replace(fp_place=FpPlace.UNDEFINED)
        write_orc(RuleTable(Format.ORC, (Row(TEXT, TEXT + 4, lost),)), X86_64, Layout.V6_4, IP)


def test_images_without_orc_have_it_converted() -> None:
    image = corpus_image("printf", "x86_64")
    table = read_tables(image, [Format.ORC, Format.DWARF])
    assert table[Format.ORC].origin == "converted from .eh_frame"
    assert table[Format.ORC].rows == to_orc(table[Format.DWARF], X86_64, Layout.V6_4).rows
    assert len(table[Format.ORC].rows) > 40


def test_what_the_host_compiler_uses_and_orc_cannot_say() -> None:
    dwarf = read_tables(host_image("x86_64"), [Format.DWARF])[Format.DWARF]
    found = to_orc(dwarf, X86_64, Layout.V6_1)
    assert set(found.losses) >= set(dwarf.losses)
    assert found.reasons()[Reason.CFA_REGISTER] >= 10
    assert all(isinstance(loss, Loss) and dwarf.at(loss.start) is not None for loss in found.losses)
