"""Compilers' unwind information as a second opinion on where a frame is down."""

from __future__ import annotations

import bisect
from typing import Any

from elftools.common.exceptions import DWARFError
from elftools.elf.elffile import ELFFile

from lab.images.image import Image
from rewriters.census import Survey


def _rows(image: Image) -> list[tuple[int, int, list[dict[str, Any]]]]:
    """(start, end, rows) of every FDE, sorted."""
    with image.path.open("rb") as file:
        info = ELFFile(file).get_dwarf_info(relocate_dwarf_sections=False)
        found = [entry for entry in info.EH_CFI_entries() if type(entry).__name__ == "FDE"]
        tables = [(e["initial_location"], e["address_range"], _table(e)) for e in found]
    return sorted(((start, start + size, rows) for start, size, rows in tables), key=lambda row: row[0])


def _table(entry: Any) -> list[dict[str, Any]]:
    """The rows of one FDE; none where pyelftools does not know an opcode (glibc's clone and signal frames)."""
    try:
        rows: list[dict[str, Any]] = entry.get_decoded().table
    except (ValueError, DWARFError):
        return []
    return rows


def disagreements(image: Image, found: Survey) -> tuple[int, list[str]]:
    """How many exits unwind information says something of, and those where it says that SP is not back."""
    stack = 31 if image.arch.lr is not None else 7
    rows = _rows(image)
    starts = [start for start, _, _ in rows]
    asked, wrong = 0, []
    for body in found.bodies.values():
        for way in body.exits:
            index = bisect.bisect_right(starts, way.address) - 1
            if index < 0 or way.address >= rows[index][1]:
                continue
            cfas = [row["cfa"] for row in rows[index][2] if row["pc"] <= way.address]
            if not cfas or cfas[-1].reg is None:
                continue
            cfa = cfas[-1]
            asked += 1
            if (cfa.reg, cfa.offset) != (stack, image.arch.call_pushes):
                wrong.append(f"{image.locate(way.address)}: CFA is r{cfa.reg}+{cfa.offset}")
    return asked, wrong
