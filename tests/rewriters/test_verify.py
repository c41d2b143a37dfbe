"""The static checks find planted damage: each kind by the check that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from lab.arch.decode import Kind
from lab.errors import EngineError
from lab.images.flow import decode_function
from lab.images.image import Image, Segment, parse_image
from lab.layout import Flavour, InsertedRange, LayoutRow, Policy, Region, RewriteMap, Where
from rewriters import rewrite
from rewriters.verify import CHECKS, require, static_checks

Pair = tuple[Image, Image, RewriteMap]


@pytest.fixture(scope="module", params=[("aarch64", "pac"), ("aarch64", "xray"), ("x86_64", "xray")], ids="-".join)
def pair(request: pytest.FixtureRequest, guest: Callable[..., Image]) -> Pair:
    arch, mode = request.param
    old = guest(arch, mode, Flavour.MEMORY)
    done = rewrite(old, mode, Flavour.MEMORY, Policy.CHECK)
    return old, parse_image(done.data, old.path), done.map


def _poke(image: Image, address: int, data: bytes) -> Image:
    segments = []
    for segment in image.segments:
        if segment.address <= address < segment.address + len(segment.data):
            at = address - segment.address
            data_now = segment.data[:at] + data + segment.data[at + len(data) :]
            segments.append(Segment(segment.address, segment.size, data_now, segment.flags))
        else:
            segments.append(segment)
    return replace(image, segments=tuple(segments))


def _failed(old: Image, new: Image, rewrite_map: RewriteMap) -> set[str]:
    return {name for name, result in static_checks(old, new, rewrite_map).items() if not result["ok"]}


def test_undamaged(pair: Pair) -> None:
    assert _failed(*pair) == set()
    assert pair[2].checks.keys() == CHECKS.keys()


def test_a_byte_of_text(pair: Pair) -> None:
    old, new, rewrite_map = pair
    start = old.symbols["setjmp"]
    assert all(not p.start <= start < p.end for p in rewrite_map.inserted)
    damaged = _poke(new, start, bytes([new.read(start, 1)[0] ^ 1]))
    assert "bytes outside the plan unchanged" in _failed(old, damaged, rewrite_map)


def test_a_byte_of_data(pair: Pair) -> None:
    old, new, rewrite_map = pair
    damaged = _poke(new, old.symbols["numbers"] + 9, b"\x55")
    assert _failed(old, damaged, rewrite_map) == {"bytes outside the plan unchanged"}


def test_another_instruction_in_a_trampoline_or_sled(pair: Pair) -> None:
    old, new, rewrite_map = pair
    piece = next(p for p in rewrite_map.inserted if p.function and (p.end - p.start) > 11)
    strange = bytes.fromhex("20008052") if old.arch.lr else bytes.fromhex("4831c0")  # mov w0, #1; xor rax, rax
    damaged = _poke(new, piece.start, strange)
    assert "new text is the templates" in _failed(old, damaged, rewrite_map)


def test_a_branch_elsewhere(pair: Pair) -> None:
    old, new, rewrite_map = pair
    if old.arch.lr is None:
        piece = next(p for p in rewrite_map.inserted if p.region is Region.INSERTED)
        wrong = b"\xe9" + (old.symbols["leaf"] + 3 - (piece.start + 5)).to_bytes(4, "little", signed=True)
    else:
        piece = next(p for p in rewrite_map.inserted if p.region is Region.INSERTED)
        wrong = (0x14000000 | ((old.segments[0].address - piece.start) >> 2) & 0x3FFFFFF).to_bytes(4, "little")
    assert "branches land on instructions" in _failed(old, _poke(new, piece.start, wrong), rewrite_map)


def test_an_entry_elsewhere(pair: Pair) -> None:
    old, new, rewrite_map = pair
    assert _failed(old, replace(new, entry=old.entry), rewrite_map) == {"entry reaches the old entry"}


def test_a_segment_gone_or_opened_up(pair: Pair) -> None:
    old, new, rewrite_map = pair
    writable = tuple(Segment(s.address, s.size, s.data, 7) for s in new.segments)
    assert _failed(old, replace(new, segments=writable), rewrite_map) == {"segments kept"}


def test_a_stranger_segment(pair: Pair) -> None:
    old, new, rewrite_map = pair
    more = (*new.segments, Segment(0x5000_0000, 16, b"\0" * 16, 5))
    assert _failed(old, replace(new, segments=more), rewrite_map) == {"segments kept"}


def test_a_map_of_something_else(pair: Pair) -> None:
    old, new, rewrite_map = pair
    other = replace(rewrite_map, source_sha256=sha256(b"").hexdigest())
    assert _failed(old, new, other) == {"map belongs to these images"}


def test_rows_that_overlap_or_leave_gaps(pair: Pair) -> None:
    old, new, rewrite_map = pair
    rows = rewrite_map.layout.rows
    gap = replace(rewrite_map, layout=replace(rewrite_map.layout, rows=rows[:3] + rows[4:]))
    assert _failed(old, new, gap) == {"layout rows cover the code"}
    double = replace(rewrite_map, layout=replace(rewrite_map.layout, rows=(rows[0], *rows)))
    assert _failed(old, new, double) == {"layout rows cover the code"}
    silent = (LayoutRow(rows[0].start, rows[0].end, Where.UNKNOWN), *rows[1:])
    assert _failed(old, new, replace(rewrite_map, layout=replace(rewrite_map.layout, rows=silent)))


def test_a_plan_that_forgets_a_site(pair: Pair) -> None:
    old, new, rewrite_map = pair
    site = next(p for p in rewrite_map.inserted if p.region is Region.INSERTED)
    fewer = tuple(p for p in rewrite_map.inserted if p != site)
    assert "bytes outside the plan unchanged" in _failed(old, new, replace(rewrite_map, inserted=fewer))


def test_code_that_jumps_into_a_filled_sled(pair: Pair) -> None:
    old, new, rewrite_map = pair
    code = decode_function(old, next(f for f in old.functions if f.name == "shrink"))
    target = next(i.target for i in code.insns if i.kind is Kind.BRANCH and i.target is not None)
    fake = InsertedRange(target - 4, target + 4, Region.INSERTED, "shrink")
    changed = replace(rewrite_map, inserted=(*rewrite_map.inserted, fake))
    assert "nothing branches into a filled sled" in _failed(old, new, changed)


def test_a_map_with_addresses_the_image_lacks(pair: Pair) -> None:
    old, new, rewrite_map = pair
    wild = InsertedRange(0x7000_0000_0000, 0x7000_0000_0040, Region.TRAMPOLINE, "shrink")
    changed = replace(rewrite_map, inserted=(*rewrite_map.inserted, wild))
    assert "new text is the templates" in _failed(old, new, changed)


def test_require_names_file_and_check() -> None:
    with pytest.raises(EngineError, match=r"a\.elf: .*'segments kept': gone"):
        require({"x": {"ok": True}, "segments kept": {"ok": False, "first": ["gone"]}}, "a.elf")
