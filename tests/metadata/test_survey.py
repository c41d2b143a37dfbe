"""What the formats are compared by: sizes, coverage and losses on one image."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lab.arch import X86_64
from lab.errors import InputError
from lab.images.image import Image, Section
from lab.metadata.orc import Layout
from lab.metadata.orc_write import to_orc, write_orc
from lab.metadata.rules import CfaBase, Format, FpPlace, Kind, Reason
from lab.metadata.sframe_write import to_sframe, write_sframe
from lab.metadata.survey import FormatRow, survey
from lab.metadata.tables import read_tables
from tests.commands.calls import call, one_line
from tests.metadata.images import corpus_image, host_image

IP = 0x300000
NAMES = ["dwarf", "orc 6.1", "orc 6.4", "sframe 1", "sframe 2"]


def by_name(image: Image, source: Format | None = None) -> dict[str, FormatRow]:
    return {row.name: row for row in survey(image, source)}


def with_sections(image: Image, drop: str = "", **data: bytes) -> Image:
    """*image* with more sections, ``orc_unwind=...`` for .orc_unwind, the one called *drop* left out."""
    more = [Section(f".{name}", IP, len(body), body, executable=False, writable=False) for name, body in data.items()]
    return replace(image, sections=(*(section for section in image.sections if section.name != drop), *more))


def all_formats(image: Image) -> Image:
    """*image* with ORC and SFrame sections written from its DWARF."""
    dwarf = read_tables(image, [Format.DWARF])[Format.DWARF]
    orc = write_orc(to_orc(dwarf, image.arch, Layout.V6_4), image.arch, Layout.V6_4, IP)
    sframe = write_sframe(to_sframe(dwarf, image.arch, 2), image.arch, 2, IP)
    return with_sections(image, orc_unwind=orc.unwind, orc_unwind_ip=orc.ip, orc_header=orc.header, sframe=sframe)


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_coverage_is_counted_address_by_address(arch: str) -> None:
    image = corpus_image("printf", arch)
    tables = read_tables(image, Format)
    rows = by_name(image)
    assert list(rows) == NAMES
    silent = {Kind.UNSUPPORTED, Kind.UNDEFINED}
    for name, kind in (("dwarf", Format.DWARF), ("orc 6.4", Format.ORC), ("sframe 2", Format.SFRAME)):
        counted = 0
        for section in image.sections:
            if section.executable:
                for address in range(section.address, section.address + section.size):
                    rule = tables[kind].at(address)
                    counted += rule is not None and rule.kind not in silent
        assert rows[name].covered == counted, name
        assert 0 < counted <= image.text_bytes


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_sections_in_the_image_are_read_and_say_what_conversions_say(arch: str) -> None:
    image = all_formats(host_image(arch))
    rows = by_name(image)
    assert list(rows) == ["dwarf", "orc", "sframe", *NAMES[1:]]
    assert (rows["orc"].origin, rows["sframe"].origin) == (".orc_unwind layout 6.4", ".sframe version 2")
    for own, converted in (("orc", "orc 6.4"), ("sframe", "sframe 2")):
        assert rows[own].rows == rows[converted].rows
        assert rows[own].size == rows[converted].size
        assert rows[own].covered == rows[converted].covered
    assert {row.origin for row in rows.values()} >= {"converted from .eh_frame"}


def test_sizes_are_those_of_the_sections() -> None:
    image = host_image("x86_64")
    rows = by_name(image)
    section = image.section(".eh_frame")
    assert section is not None
    assert rows["dwarf"].size == len(section.data)
    assert by_name(with_sections(image, eh_frame_hdr=bytes(20)))["dwarf"].size == len(section.data) + 20
    assert rows["orc 6.4"].size == rows["orc 6.1"].size + 20
    dwarf = read_tables(image, [Format.DWARF])[Format.DWARF]
    for version in (1, 2):
        said = to_sframe(dwarf, image.arch, version)
        assert rows[f"sframe {version}"].size == len(write_sframe(said, image.arch, version, image.entry))


def test_what_a_conversion_loses_is_what_the_source_says_and_it_does_not() -> None:
    image = host_image("aarch64")
    rows = by_name(image)
    dwarf = read_tables(image, [Format.DWARF])[Format.DWARF]
    orc = {lost.reason: lost for lost in rows["orc 6.4"].lost}
    in_lr = orc[Reason.RA_IN_LR]
    assert len(in_lr.ranges) > 1000
    assert all(dwarf.number(start) and dwarf.at(start) == dwarf.at(end - 1) for start, end in in_lr.ranges)
    assert in_lr.bytes == sum(end - start for start, end in in_lr.ranges)
    missing = rows["dwarf"].covered - rows["orc 6.4"].covered
    own = {lost.reason for lost in rows["dwarf"].lost}
    gone = sum(lost.bytes for reason, lost in orc.items() if reason not in own | {Reason.RA_SIGNED})
    assert missing == gone


def test_the_source_can_be_chosen_and_must_be_there() -> None:
    image = all_formats(corpus_image("printf", "x86_64"))
    assert by_name(image, Format.ORC)["sframe 1"].origin == "converted from .orc_unwind layout 6.4"
    assert by_name(image, Format.SFRAME)["sframe 1"].origin == "converted from .sframe version 2"
    without = with_sections(image, drop=".eh_frame")
    assert by_name(without)["orc 6.1"].origin == "converted from .orc_unwind layout 6.4"
    with pytest.raises(InputError, match=r"no \.eh_frame section"):
        survey(without, Format.DWARF)
    assert survey(replace(without, sections=())) == []


def test_one_damaged_section_leaves_the_others() -> None:
    image = with_sections(corpus_image("printf", "x86_64"), sframe=b"\xe2\xde\x03" + bytes(40))
    rows = by_name(image)
    assert "SFrame version 3 is not supported" in rows["sframe"].problem
    assert (rows["sframe"].rows, rows["sframe"].covered) == (0, 0)
    assert rows["orc 6.4"].rows > 40
    with pytest.raises(InputError, match="SFrame version 3"):
        survey(image, Format.SFRAME)
    with pytest.raises(InputError, match="SFrame version 3"):
        read_tables(image, [Format.SFRAME])


def test_half_of_orc_is_refused() -> None:
    image = with_sections(corpus_image("printf", "x86_64"), orc_unwind=bytes(6))
    with pytest.raises(InputError, match="one is missing"):
        read_tables(image, [Format.ORC])


def test_an_image_without_tables_has_empty_ones() -> None:
    image = replace(corpus_image("printf", "x86_64"), sections=())
    for table in read_tables(image, Format).values():
        assert (table.rows, table.origin, table.size) == ((), "", 0)
        assert table.array().shape == (1, 10)


def test_slots_below_sp_are_found() -> None:
    """Behind its pop of FP clang leaves FP's slot in the CFI of x86-64 code without a red zone."""
    image = corpus_image("regex", "x86_64")
    table = read_tables(image, [Format.DWARF])[Format.DWARF]
    (dead,) = by_name(image)["dwarf"].dead
    assert dead.what == "FP"
    assert len(dead.ranges) > 50
    for start, end in dead.ranges:
        rule = table.at(start)
        assert rule is not None
        assert (rule.cfa_base, rule.fp_place) == (CfaBase.SP, FpPlace.CFA)
        assert rule.cfa_offset + rule.fp_offset < 0
        assert image.read(start - 1, 1) == b"\x5d"  # pop %rbp
        assert end > start
    assert by_name(image)["sframe 2"].dead == (dead,)
    assert by_name(corpus_image("regex", "aarch64"))["dwarf"].dead == ()
    line = next(line for line in call("metadata", str(image.path)).stdout.splitlines() if line.startswith("dwarf: "))
    assert line.startswith(f"dwarf: FP in a slot below SP: {len(dead.ranges)} rows, ")


def test_the_rule_at_a_place() -> None:
    image = corpus_image("printf", X86_64.name)
    done = call("metadata", str(image.path), "--at", "_start")
    assert f"at _start+0x0 ({image.entry:#x}):" in done.stdout.splitlines()
    assert "  dwarf     end of the stack" in done.stdout.splitlines()
    assert "  sframe 2  no row" in done.stdout.splitlines()
    function = next(function for function in image.functions if function.name == "lab_main")
    found = json.loads(call("metadata", str(image.path), "--at", hex(function.start), "--json").stdout)["formats"]
    assert {row["rule"] for row in found} == {"CFA = rsp+8, ra [CFA-8], fp same"}
    assert json.loads(call("metadata", str(image.path), "--json").stdout)["formats"][0]["rule"] is None
    assert "neither an address nor a function" in one_line(call("metadata", str(image.path), "--at", "nowhere"), 2)
