"""Source lines of addresses, from the image's DWARF line tables (versions 2 to 5), where it has any; by pyelftools."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from elftools.elf.elffile import ELFFile

Lines = Callable[[int], str]
"""pc -> ``file.c:41``, "" where nothing is known."""


def source_lines(path: Path) -> Lines:
    """The line tables of the image at *path*.  Damaged ones tell nothing: they are no part of any measurement."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            # Linked: its relocations, kept by --emit-relocs, are applied already and must not be once more.
            rows = sorted(_rows(elf.get_dwarf_info(relocate_dwarf_sections=False))) if elf.has_dwarf_info() else []
    except Exception:  # whatever a parser meets in bytes nobody vouches for
        rows = []
    starts = [start for start, _, _ in rows]

    def at(pc: int) -> str:
        index = bisect.bisect_right(starts, pc) - 1
        return rows[index][2] if index >= 0 and pc < rows[index][1] else ""

    return at


def _rows(dwarf: Any) -> Iterator[tuple[int, int, str]]:
    """(start, end, text) of every row of every unit's line program."""
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        before = None
        for state in (entry.state for entry in program.get_entries() if entry.state is not None):
            if before is not None and before.address < state.address and before.line:
                yield before.address, state.address, f"{_file(program, before.file)}:{before.line}"
            before = None if state.end_sequence else state


def _file(program: Any, number: int) -> str:
    """The file's own name, without its folder: that may be a place on the machine that compiled it."""
    files = program["file_entry"]
    index = number if program["version"] >= 5 else number - 1
    name = files[index].name if 0 <= index < len(files) else b"?"
    return PurePosixPath(name.decode("utf-8", "replace")).name
