"""DWARF CFI as rule tables: against pyelftools on whole images, every opcode by hand, and round trips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from elftools.dwarf.callframe import RegisterRule
from hypothesis import given
from hypothesis import strategies as st

from lab.arch import AARCH64, ARCHES, X86_64, Arch
from lab.errors import InputError
from lab.images.image import Image
from lab.metadata.dwarf_rules import dwarf_table
from lab.metadata.rules import (
    CfaBase,
    Field,
    Flag,
    Format,
    FpPlace,
    Kind,
    RaPlace,
    Reason,
    Row,
    Rule,
    RuleTable,
    merged,
    unsupported,
)
from lab.metadata.tables import read_tables
from tests.metadata.images import corpus_image, host_image
from tests.metadata.strategies import BASE, TEXT, advance, cie, normal_rules, section, sleb, tables, uleb
from tests.metadata.test_cfi import theirs

SP, FP, LR = 31, 29, 30
PLAIN = Rule(Kind.NORMAL)
A64 = cie(LR, b"\x0c\x1f\x00")
NUMBERS = {"aarch64": (31, 29, 30), "x86_64": (7, 6, 16)}


def read(program: bytes, size: int = 0x100, head: bytes = A64, arch: Arch = AARCH64) -> RuleTable:
    return dwarf_table(section(head, (TEXT, size, program)), BASE, arch, "made.elf")


def of(image: Image, kind: Format = Format.DWARF) -> RuleTable:
    return read_tables(image, [kind])[kind]


def their_rule(line: dict[Any, Any], column: int, arch: Arch) -> Rule | None:
    """What pyelftools' line means, for the states a rule holds; None for the others."""
    sp, fp, ra = NUMBERS[arch.name]
    cfa, back, saved = line["cfa"], line.get(column), line.get(fp)
    if back is not None and back.type == RegisterRule.UNDEFINED:
        return Rule(Kind.END, ra_place=RaPlace.UNDEFINED)
    if cfa.expr is not None or cfa.reg not in {sp, fp} or column != ra or sp in line:
        return None
    place, offset = RaPlace.LR, 0
    if back is not None and back.type == RegisterRule.OFFSET:
        place, offset = RaPlace.CFA, back.arg
    elif (back is not None and back.type != RegisterRule.SAME_VALUE) or arch.lr is None:
        return None
    fp_place, fp_offset = FpPlace.SAME, 0
    if saved is not None and saved.type == RegisterRule.OFFSET:
        fp_place, fp_offset = FpPlace.CFA, saved.arg
    elif saved is not None and saved.type != RegisterRule.SAME_VALUE:
        return None
    return Rule(Kind.NORMAL, CfaBase(int(cfa.reg == fp)), cfa.offset, 0, place, offset, fp_place, fp_offset)


def agree(image: Image) -> tuple[int, int]:
    """(lines of pyelftools that are the same rule, lines that no rule holds); the signing mark is not compared."""
    eh_frame = image.section(".eh_frame")
    assert eh_frame is not None
    table = of(image)
    same = unfit = 0
    for fde in theirs(eh_frame.data, eh_frame.address):
        lines = {line["pc"]: line for line in fde.get_decoded().table}
        for pc, line in lines.items():
            if not fde["initial_location"] <= pc < fde["initial_location"] + fde["address_range"]:
                continue
            ours = table.at(pc)
            assert ours is not None, f"{pc:#x}"
            rule = their_rule(line, fde.cie["return_address_register"], image.arch)
            if rule is None:
                assert ours.kind == Kind.UNSUPPORTED, f"{pc:#x}"
                assert ours.reason != Reason.NONE
                unfit += 1
            else:
                assert ours._replace(flags=0) == rule, f"{pc:#x}"
                same += 1
    return same, unfit


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
@pytest.mark.parametrize("name", ["printf", "regex", "alloca"])
def test_agrees_with_pyelftools_on_the_corpus(name: str, arch: str) -> None:
    same, unfit = agree(corpus_image(name, arch))
    assert same > 40
    assert unfit == 0


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
@pytest.mark.parametrize("language", ["c", "c++"])
def test_agrees_with_pyelftools_on_host_programs(arch: str, language: str) -> None:
    image = host_image(arch, language)
    same, unfit = agree(image)
    assert same > 1000
    assert unfit > 0
    assert {loss.reason for loss in of(image).losses} >= {Reason.CFA_REGISTER}


def test_retained_relocations_change_nothing() -> None:
    """Addresses come from what is loaded: a reader that applied retained relocations again would double them."""
    for arch in ("aarch64", "x86_64"):
        plain = of(corpus_image("printf", arch))
        again = of(corpus_image("printf", arch, ("-Wl,--emit-relocs",)))
        assert again.rows == plain.rows
        assert again.rows


def test_signed_return_addresses_are_marked() -> None:
    rows = of(corpus_image("tree", "aarch64", ("-mbranch-protection=pac-ret",))).rows
    marks = {row.rule.ra_place: set[int]() for row in rows}
    for row in rows:
        marks[row.rule.ra_place].add(row.rule.flags)
    assert marks[RaPlace.CFA] == {Flag.RA_SIGNED}
    assert marks[RaPlace.LR] == {0, Flag.RA_SIGNED}  # unsigned at the first instruction, signed behind PACIASP


def test_signal_frames_and_outermost_frames() -> None:
    image = host_image("x86_64")
    table = of(image)
    assert table.at(image.entry) == Rule(Kind.END, ra_place=RaPlace.UNDEFINED)
    (signal,) = [row.rule for row in table.rows if row.rule.flags & Flag.SIGNAL]
    assert (signal.kind, signal.reason) == (Kind.UNSUPPORTED, Reason.CFA_EXPRESSION)


UNSAVED = PLAIN._replace(cfa_offset=0)
SAVED = PLAIN._replace(cfa_offset=16, ra_place=RaPlace.CFA, ra_offset=-8, fp_place=FpPlace.CFA, fp_offset=-16)
PUSH = b"\x0e\x10\x9e\x08\x9d\x10"  # def_cfa_offset 16, offset x30 at -8, offset x29 at -16


@pytest.mark.parametrize(
    ("program", "rules"),
    [
        pytest.param(
            b"\x44" + PUSH, {0: PLAIN, 3: PLAIN, 4: SAVED, 0xFF: SAVED}, id="advance_loc, def_cfa_offset, offset"
        ),
        pytest.param(b"\x02\x48" + PUSH, {0x47: PLAIN, 0x48: SAVED}, id="advance_loc1"),
        pytest.param(b"\x03\x80\x00" + PUSH, {0x7F: PLAIN, 0x80: SAVED}, id="advance_loc2"),
        pytest.param(b"\x04\x90\x00\x00\x00" + PUSH, {0x8F: PLAIN, 0x90: SAVED}, id="advance_loc4"),
        pytest.param(
            PUSH + b"\x44\x0a\x44\xde\xdd\x0e\x00\x44\x0b", {4: SAVED, 8: PLAIN, 12: SAVED}, id="remember, restore"
        ),
        pytest.param(PUSH + b"\x44\x06\x1e\x06\x1d", {4: PLAIN._replace(cfa_offset=16)}, id="restore_extended"),
        pytest.param(b"\x0e\x10\x05\x1e\x08\x05\x1d\x10", {0: SAVED}, id="offset_extended"),
        pytest.param(b"\x0e\x10\x11\x1e\x08\x11\x1d\x10", {0: SAVED}, id="offset_extended_sf"),
        pytest.param(
            b"\x11\x1e\x78", {0: PLAIN._replace(ra_place=RaPlace.CFA, ra_offset=8)}, id="offset_extended_sf above"
        ),
        pytest.param(
            b"\x0e\x10\x2f\x1e\x78\x9e\x08\x2f\x1d\x10", {0: SAVED._replace(fp_offset=16)}, id="negative_offset"
        ),
        pytest.param(b"\x2d\x44\x2d", {0: PLAIN._replace(flags=Flag.RA_SIGNED), 4: PLAIN}, id="negate_ra_state"),
        pytest.param(b"\x0c\x1d\x20", {0: PLAIN._replace(cfa_base=CfaBase.FP, cfa_offset=32)}, id="def_cfa"),
        pytest.param(b"\x12\x1d\x70", {0: PLAIN._replace(cfa_base=CfaBase.FP, cfa_offset=16)}, id="def_cfa_sf"),
        pytest.param(b"\x0d\x1d", {0: PLAIN._replace(cfa_base=CfaBase.FP)}, id="def_cfa_register"),
        pytest.param(b"\x13\x60", {0: PLAIN._replace(cfa_offset=32)}, id="def_cfa_offset_sf"),
        pytest.param(b"\x0d\x13", {0: unsupported(Reason.CFA_REGISTER)}, id="another base"),
        pytest.param(b"\x0f\x01\x30", {0: unsupported(Reason.CFA_EXPRESSION)}, id="def_cfa_expression"),
        pytest.param(b"\x07\x1e", {0: Rule(Kind.END, ra_place=RaPlace.UNDEFINED)}, id="undefined"),
        pytest.param(b"\x07\x1d", {0: PLAIN._replace(fp_place=FpPlace.UNDEFINED)}, id="undefined fp"),
        pytest.param(PUSH + b"\x44\x08\x1e\x08\x1d", {4: PLAIN._replace(cfa_offset=16)}, id="same_value"),
        pytest.param(b"\x09\x1e\x1e\x09\x1d\x1d", {0: PLAIN}, id="register, itself"),
        pytest.param(b"\x09\x1e\x09", {0: unsupported(Reason.RA_REGISTER)}, id="register"),
        pytest.param(b"\x09\x1d\x09", {0: unsupported(Reason.FP_REGISTER)}, id="register for fp"),
        pytest.param(b"\x14\x1e\x08", {0: unsupported(Reason.RA_VALUE)}, id="val_offset"),
        pytest.param(b"\x15\x1d\x78", {0: unsupported(Reason.FP_VALUE)}, id="val_offset_sf"),
        pytest.param(b"\x14\x1f\x00", {0: PLAIN}, id="val_offset: sp is the CFA"),
        pytest.param(b"\x14\x1f\x08", {0: unsupported(Reason.SP_RULE)}, id="val_offset: sp is not"),
        pytest.param(b"\x10\x1e\x01\x30", {0: unsupported(Reason.RA_EXPRESSION)}, id="expression"),
        pytest.param(b"\x16\x1d\x01\x30", {0: unsupported(Reason.FP_EXPRESSION)}, id="val_expression"),
        pytest.param(b"\x2e\x10\x00", {0: PLAIN}, id="args_size, nop"),
        pytest.param(b"\x0e" + uleb(1 << 63), {0: unsupported(Reason.OFFSET_RANGE)}, id="offset beyond 64 bits"),
        pytest.param(b"\x44\x3f", {0: unsupported(Reason.DAMAGED), 0xFF: unsupported(Reason.DAMAGED)}, id="damaged"),
    ],
)
def test_every_opcode(program: bytes, rules: dict[int, Rule]) -> None:
    table = read(program)
    assert {at: table.at(TEXT + at) for at in rules} == rules
    assert (table.at(TEXT - 1), table.at(TEXT + 0x100)) == (None, None)
    unfit = [row.rule.reason for row in table.rows if row.rule.kind == Kind.UNSUPPORTED]
    assert [loss.reason for loss in table.losses] == unfit


def test_set_loc_and_the_code_factor() -> None:
    head = cie(LR, b"\x0c\x1f\x00", align=4)
    assert read(b"\x42" + PUSH, head=head).at(TEXT + 8) == SAVED
    at = BASE + len(head) + 4 + 13 + 1  # of the operand, which is relative to its own place
    table = read(b"\x01" + (TEXT + 0x20 - at).to_bytes(4, "little", signed=True) + PUSH, head=head)
    assert (table.at(TEXT + 0x1F), table.at(TEXT + 0x20)) == (PLAIN, SAVED)


def test_a_cie_without_a_cfa_and_one_with_another_return_column() -> None:
    assert read(b"", head=cie(LR, b"")).at(TEXT) == unsupported(Reason.CFA_MISSING)
    assert read(b"", head=cie(17, b"\x0c\x1f\x00")).at(TEXT) == unsupported(Reason.RA_UNSAVED)
    bare = cie(16, b"\x0c\x07\x08")
    assert read(b"", head=bare, arch=X86_64).at(TEXT) == unsupported(Reason.RA_UNSAVED)
    assert read(b"\x90\x08", head=bare, arch=X86_64).at(TEXT) == PLAIN._replace(
        cfa_offset=8, ra_place=RaPlace.CFA, ra_offset=-8
    )


def test_of_fdes_that_overlap_the_nearest_start_counts() -> None:
    data = section(A64, (TEXT, 0x100, PUSH), (TEXT + 0x40, 0x20, b""))
    table = dwarf_table(data, BASE, AARCH64, "x")
    assert table.rows == (Row(TEXT, TEXT + 0x40, SAVED), Row(TEXT + 0x40, TEXT + 0x60, PLAIN))
    assert table.units == (TEXT, TEXT + 0x40)


def written(table: RuleTable, arch: Arch) -> bytes:
    """Call-frame information that says what *table* does, by the tests' own hand; rows of kind NORMAL only."""
    sp, fp, column = NUMBERS[arch.name]
    programs, units = [], {*table.units}
    for number, row in enumerate(table.rows):
        begins = not number or row.start in units or table.rows[number - 1].end < row.start
        if begins:
            programs.append((row.start, 0, b""))
        start, size, program = programs[-1]
        old = 0 if begins else table.rows[number - 1].rule.flags
        step = b"" if begins else advance(row.start - table.rows[number - 1].start)
        said = said_by(row.rule, sp, fp, column) + (b"\x2d" if row.rule.flags != old else b"")
        programs[-1] = (start, row.end - start, program + step + said)
    return section(cie(column, b""), *programs)


def said_by(rule: Rule, sp: int, fp: int, column: int) -> bytes:
    cfa = b"\x12" + uleb(fp if rule.cfa_base == CfaBase.FP else sp) + sleb(-rule.cfa_offset)
    ra = b"\x08" + uleb(column) if rule.ra_place == RaPlace.LR else b"\x11" + uleb(column) + sleb(-rule.ra_offset)
    saved = {FpPlace.SAME: b"\x08", FpPlace.CFA: b"\x11", FpPlace.UNDEFINED: b"\x07"}[FpPlace(rule.fp_place)] + uleb(fp)
    return cfa + ra + saved + (sleb(-rule.fp_offset) if rule.fp_place == FpPlace.CFA else b"")


@given(tables(normal_rules()), st.sampled_from(ARCHES))
def test_what_is_written_is_read(table: RuleTable, arch: Arch) -> None:
    found = dwarf_table(written(table, arch), BASE, arch, "x")
    expected = [
        Row(row.start, row.end, unsupported(Reason.RA_UNSAVED, row.rule.flags))
        if arch.lr is None and row.rule.ra_place == RaPlace.LR
        else row
        for row in table.rows
    ]
    assert merged(found.rows) == merged(expected)


@given(st.binary(max_size=300), st.sampled_from(ARCHES))
def test_any_program_is_a_table_that_covers_its_code(program: bytes, arch: Arch) -> None:
    table = read(program, head=cie(NUMBERS[arch.name][2], b"\x0c\x07\x08"), arch=arch)
    assert (table.rows[0].start, table.rows[-1].end) == (TEXT, TEXT + 0x100)
    assert table.array().shape == (len(table.rows) + 1, len(Field))


@given(st.binary(max_size=300))
def test_garbage_is_a_table_or_an_error_with_an_address(data: bytes) -> None:
    try:
        table = dwarf_table(data, BASE, AARCH64, "garbage.elf")
    except InputError as error:
        assert str(error).startswith("garbage.elf: .eh_frame at 0x")
    else:
        assert all(table.at(row.start) == row.rule for row in table.rows)


@given(tables())
def test_the_array_is_what_at_says(table: RuleTable) -> None:
    words, starts, ends = table.array(), table.starts(), table.ends()
    assert not words[0].any()
    assert len(starts) == len(ends) == len(table.rows) == len(words) - 1
    for pc in {address for row in table.rows for address in (row.start - 1, row.start, row.end - 1, row.end)}:
        number = int(np.searchsorted(starts, np.uint64(pc), side="right"))
        number = number if number and pc < ends[number - 1] else 0
        assert number == table.number(pc)
        rule = table.at(pc)
        assert tuple(words[number].tolist()) == (rule.words() if rule else (0,) * len(Field))


def test_signed_words_are_twos_complement() -> None:
    table = RuleTable(Format.DWARF, (Row(0x10, 0x20, SAVED),))
    assert table.array()[1][Field.RA_OFFSET] == (1 << 64) - 8
    assert table.array().dtype == np.uint64


def test_tables_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap at 0x18"):
        RuleTable(Format.DWARF, (Row(0x10, 0x20, PLAIN), Row(0x18, 0x28, PLAIN)))
    with pytest.raises(ValueError, match="without an address"):
        RuleTable(Format.DWARF, (Row(0x10, 0x10, PLAIN),))
