"""What is loaded: bytes outside the plan, segments, and the entry, before and after.

Images are compared as loaded (segments, not file bytes: the writer may re-lay section tables).
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.images.rawelf import PF_X
from lab.layout import Region
from rewriters.refusals import MARKER
from rewriters.sites import Ranges
from rewriters.verify.pair import IN_NEW_TEXT, Pair
from rewriters.verify.units import Units, What

_BLOCK = 256


def check_sources(pair: Pair) -> Iterator[str]:
    """The map was made for these two files."""
    if pair.map.source_sha256 != pair.old.sha256:
        yield "the map was made for another source image"
    if pair.map.output_sha256 != pair.new.sha256:
        yield "the map was made for another output image"


def _planned(pair: Pair) -> Ranges:
    """Ranges that may differ: the ELF header with its program headers (where loaded), and what the map lists."""
    changed = [(piece.start, piece.end) for piece in pair.map.inserted]
    changed += [(entry.address, entry.address + entry.size) for entry in pair.map.patched]
    return Ranges([*pair.new.header_ranges, *changed])


def check_outside(pair: Pair) -> Iterator[str]:
    """No loaded byte changed outside the planned ranges."""
    old, new = pair.old, pair.new
    planned = _planned(pair)
    for segment in old.segments:
        before, after = old.read(segment.address, segment.size), new.read(segment.address, segment.size)
        if before == after:
            continue
        for offset in _differences(before, after):
            if segment.address + offset not in planned:
                yield f"byte at {old.locate(segment.address + offset)} changed outside the plan"


def _differences(before: bytes, after: bytes) -> Iterator[int]:
    """Offsets at which two equally long byte strings differ."""
    for start in range(0, len(before), _BLOCK):
        if before[start : start + _BLOCK] != after[start : start + _BLOCK]:
            for offset in range(start, min(start + _BLOCK, len(before))):
                if before[offset] != after[offset]:
                    yield offset


def check_segments(pair: Pair) -> Iterator[str]:
    """Old segments keep address and permissions; the last writable one may grow; new ones are ours."""
    ours = [p for p in pair.map.inserted if p.region in IN_NEW_TEXT]
    layout = pair.map.layout
    by_address = {segment.address: segment for segment in pair.new.segments}
    for segment in pair.old.segments:
        match = by_address.pop(segment.address, None)
        if match is None or match.flags != segment.flags or match.size < segment.size:
            yield f"segment at {segment.address:#x} is gone, smaller, or has other permissions"
        elif match.size > segment.size and not segment.address <= layout.base < layout.limit <= match.end:
            yield f"segment at {segment.address:#x} grew without holding the shadow stack"
    for segment in by_address.values():
        if segment.flags & PF_X:
            known = any(segment.address <= p.start < segment.end for p in ours)
            fine = segment.data.startswith(MARKER) and known
        else:
            fine = segment.address <= layout.base < layout.limit <= segment.end
        if not fine:
            yield f"new segment at {segment.address:#x} is neither our text nor our storage"


def check_entry(pair: Pair, units: Units) -> Iterator[str]:
    """The entry is the old one, or our stub, which goes to the old one."""
    stub = next((unit for unit in units.by_start.values() if unit.what is What.STUB), None)
    wanted = pair.old.entry if stub is None else stub.start
    if pair.new.entry != wanted:
        what = "the old entry" if stub is None else "the entry stub"
        yield f"the entry is {pair.new.entry:#x}, not {what} at {wanted:#x}"


def check_ranges(pair: Pair) -> Iterator[str]:
    """Inserted ranges: disjoint, and each where its kind belongs: in old code, or in a new segment."""
    pieces = pair.pieces.pieces
    for left, right in zip(pieces, pieces[1:], strict=False):
        if left.end > right.start:
            yield f"inserted ranges overlap at {right.start:#x}"
    for piece in pieces:
        inside = any(s.address <= piece.start < s.end for s in pair.old.segments)
        if inside == (piece.region in IN_NEW_TEXT) or piece.region in {Region.ORIGINAL, Region.HANDLER}:
            yield f"the {piece.region.value} range at {piece.start:#x} is not where such code belongs"
