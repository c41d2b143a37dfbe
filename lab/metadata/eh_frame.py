"""What .eh_frame says about each address: is there a row, and what is its CFA based on.

Decoded by pyelftools.  Source: DWARF 5 section 6.4; LSB 5.0 ch. 10.6 (.eh_frame); DWARF for the Arm
64-bit Architecture (DW_CFA_AARCH64_negate_ra_state).
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.dwarf.callframe import FDE, CallFrameInfo
from elftools.dwarf.structs import DWARFStructs
from elftools.elf.elffile import ELFFile

from lab.arch import Arch

#: DWARF register numbers of SP and FP (psABI of each architecture).
_SP_FP = {"aarch64": (31, 29), "x86_64": (7, 6)}


@dataclass(frozen=True, slots=True)
class CfiRow:
    """[start, end): ``kind`` is ``sp``, ``fp`` (CFA = that register + ``offset``), ``other``, ``expression``
    or ``undefined`` (the return address is undefined: outermost)."""

    start: int
    end: int
    kind: str
    offset: int


class CfiTable:
    """The rows of one image, by address."""

    def __init__(self, rows: list[CfiRow], problem: str = "") -> None:
        self.rows = sorted(rows, key=lambda row: row.start)
        self.problem = problem
        self._starts = [row.start for row in self.rows]

    def at(self, pc: int) -> CfiRow | None:
        """The row that holds *pc*, None where there is none."""
        index = bisect.bisect_right(self._starts, pc) - 1
        return self.rows[index] if index >= 0 and pc < self.rows[index].end else None


def read_cfi(path: Path, arch: Arch) -> CfiTable:
    """The table of *path*.  Damage gives an empty table whose ``problem`` says what is wrong: metadata that
    cannot be read is a fact about the image, not an error of the run."""
    rows: list[CfiRow] = []
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            for entry in _entries(elf):
                if isinstance(entry, FDE):
                    rows += _rows_of(entry, arch)
    except Exception as error:  # pyelftools meets damage with whatever its code trips over, MemoryError included
        return CfiTable([], f"{type(error).__name__}: {error}")
    return CfiTable(rows)


def _entries(elf: ELFFile) -> list[Any]:
    """CIEs and FDEs of a linked image.

    Not through ``get_dwarf_info``: it would apply retained relocations (--emit-relocs) a second time, and it
    insists on a zero terminator, which a linker writes only when a start file brings one.
    """
    section = elf.get_section_by_name(".eh_frame")
    if section is None:
        return []
    data = section.data() + bytes(4)
    structs = DWARFStructs(little_endian=True, dwarf_format=32, address_size=8)
    frames = CallFrameInfo(BytesIO(data), len(data), section["sh_addr"], structs, for_eh_frame=True)
    return list(frames.get_entries())


def _rows_of(entry: FDE, arch: Arch) -> list[CfiRow]:
    sp, fp = _SP_FP[arch.name]
    begin = entry["initial_location"]
    end = begin + entry["address_range"]
    ra_column = entry.cie["return_address_register"]
    table = entry.get_decoded().table
    rows = []
    for index, line in enumerate(table):
        stop = table[index + 1]["pc"] if index + 1 < len(table) else end
        cfa = line["cfa"]
        rule = line.get(ra_column)
        if rule is not None and rule.type == "UNDEFINED":
            kind, offset = "undefined", 0
        elif cfa.expr is not None:
            kind, offset = "expression", 0
        else:
            kind, offset = {sp: "sp", fp: "fp"}.get(cfa.reg, "other"), cfa.offset
        if line["pc"] < stop:
            rows.append(CfiRow(line["pc"], stop, kind, offset))
    return rows
