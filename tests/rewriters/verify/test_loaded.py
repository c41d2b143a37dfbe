"""What is loaded, the plan, and the map: damage is found by the check that is there for it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from lab.arch.decode import Kind
from lab.errors import EngineError
from lab.images.flow import decode_function
from lab.images.image import Segment
from lab.layout import InsertedRange, LayoutRow, Region, Where
from rewriters.verify import CHECKS, require
from tests.rewriters.verify.planting import Case


def test_undamaged(case: Case) -> None:
    assert case.failed() == set()
    assert case.map.checks.keys() == CHECKS.keys()
    assert case.map.census.instrumented > 5


def test_a_byte_of_text(case: Case) -> None:
    start = case.old.symbols["leaf"] + 8
    damaged = case.poked(start, bytes([case.new.read(start, 1)[0] ^ 1]))
    if any(p.start <= start < p.end for p in case.map.inserted):
        assert damaged.failed() & {"old bodies trap", "new text is the templates", "control goes where it went"}
    else:
        assert damaged.failed() == {"bytes outside the plan unchanged"}


def test_a_byte_of_data(case: Case) -> None:
    damaged = case.poked(case.old.symbols["numbers"] + 9, b"\x55")
    assert damaged.failed() == {"bytes outside the plan unchanged"}


def test_an_old_word_outside_the_plan(case: Case) -> None:
    start = case.old.function_at(case.old.entry)
    assert start is not None
    nop = bytes.fromhex("1f2003d5") if case.old.arch.lr else b"\x90"
    damaged = case.poked(start.end - len(nop), nop)
    assert damaged.failed() == {"bytes outside the plan unchanged"}


def test_another_instruction_of_ours(case: Case) -> None:
    unit = next(unit for unit in case.units.by_start.values() if unit.pieces)
    strange = bytes.fromhex("20008052") if case.old.arch.lr else bytes.fromhex("4831c0")  # mov w0, #1; xor rax, rax
    assert "new text is the templates" in case.poked(unit.start, strange).failed()


def test_an_entry_elsewhere(case: Case) -> None:
    damaged = replace(case, new=replace(case.new, entry=case.old.entry))
    assert damaged.failed() == {"entry reaches the old entry"}


def test_a_segment_opened_up(case: Case) -> None:
    writable = tuple(Segment(s.address, s.size, s.data, 7) for s in case.new.segments)
    assert "segments kept" in replace(case, new=replace(case.new, segments=writable)).failed()


def test_a_stranger_segment(case: Case) -> None:
    more = (*case.new.segments, Segment(0x5000_0000, 16, b"\0" * 16, 5))
    assert replace(case, new=replace(case.new, segments=more)).failed() == {"segments kept"}


def test_a_map_of_something_else(case: Case) -> None:
    assert case.with_map(source_sha256=sha256(b"").hexdigest()).failed() == {"map belongs to these images"}


def test_rows_that_overlap_or_leave_gaps(case: Case) -> None:
    rows = case.map.layout.rows
    assert "layout rows cover the code" in case.with_rows(rows[:3] + rows[4:]).failed()
    assert "layout rows cover the code" in case.with_rows((rows[0], *rows)).failed()
    silent = (LayoutRow(rows[0].start, rows[0].end, Where.UNKNOWN), *rows[1:])
    assert "layout rows cover the code" in case.with_rows(silent).failed()


def test_a_plan_that_forgets_a_range(case: Case) -> None:
    site = next(p for p in case.map.inserted if p.region is Region.INSERTED)
    fewer = tuple(p for p in case.map.inserted if p != site)
    assert "bytes outside the plan unchanged" in case.with_map(inserted=fewer).failed()


def test_code_that_jumps_into_what_was_overwritten(case: Case) -> None:
    """Planted by claiming that a place some branch leads to was overwritten."""
    function = next(f for f in case.old.functions if f.name == "shrink")
    code = decode_function(case.old, function)
    inside = [code.insns[code.index[i.target]] for i in code.insns if i.kind is Kind.BRANCH and i.target in code.index]
    target = next(insn.address for insn in inside if insn.kind is Kind.OTHER and insn.mnemonic != "nop")
    fake = InsertedRange(target, target + 4, Region.INSERTED, "shrink")
    failed = case.with_map(inserted=(*case.map.inserted, fake)).failed()
    assert failed & {"control goes where it went", "inserted ranges stand where they belong"}


def test_a_range_where_it_does_not_belong(case: Case) -> None:
    first, *rest = case.map.inserted
    moved = replace(first, region=Region.TRAMPOLINE if first.region is Region.INSERTED else Region.INSERTED)
    assert "inserted ranges stand where they belong" in case.with_map(inserted=(moved, *rest)).failed()


def test_a_map_with_addresses_the_image_lacks(case: Case) -> None:
    wild = InsertedRange(0x7000_0000_0000, 0x7000_0000_0040, Region.TRAMPOLINE, "shrink")
    assert "new text is the templates" in case.with_map(inserted=(*case.map.inserted, wild)).failed()


def test_require_names_file_and_check() -> None:
    with pytest.raises(EngineError, match=r"a\.elf: .*'segments kept': gone"):
        require({"x": {"ok": True}, "segments kept": {"ok": False, "first": ["gone"]}}, "a.elf")
