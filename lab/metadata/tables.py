"""The rule tables of an image: read from its own sections where it has them, else converted from .eh_frame.

The image is taken by shape, so that this package needs no reader of ELF.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lab.arch import Arch
from lab.errors import InputError
from lab.metadata.dwarf_rules import dwarf_table
from lab.metadata.orc import Layout, OrcSections, read_orc
from lab.metadata.orc_write import to_orc
from lab.metadata.rules import Format, RuleTable
from lab.metadata.sframe_rules import read_sframe
from lab.metadata.sframe_write import to_sframe

SFRAME_VERSION = 2
"""Of tables converted for unwinders."""
ORC_LAYOUT = Layout.V6_4
"""Likewise."""

SECTIONS = {Format.DWARF: ".eh_frame", Format.ORC: ".orc_unwind", Format.SFRAME: ".sframe"}
"""Format -> the section that an image in it has."""


class SectionLike(Protocol):
    """A loaded section."""

    @property
    def address(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    @property
    def executable(self) -> bool: ...


class ImageLike(Protocol):
    """What is needed of an image (lab.images.image.Image has it)."""

    @property
    def arch(self) -> Arch: ...
    @property
    def path(self) -> Path: ...
    @property
    def sections(self) -> Sequence[SectionLike]: ...
    def section(self, name: str, /) -> SectionLike | None: ...


def read_tables(image: ImageLike, kinds: Iterable[int]) -> dict[int, RuleTable]:
    """The table of each of *kinds* (Format), by number.  InputError where a section is damaged or of an unknown
    version; a table without rows and without an origin where the image says nothing."""
    found = _Tables(image)
    readers = {Format.DWARF: found.dwarf, Format.ORC: found.orc, Format.SFRAME: found.sframe}
    return {int(kind): readers[Format(kind)]() for kind in kinds}


class _Tables:
    """The tables of one image; .eh_frame is read once."""

    def __init__(self, image: ImageLike) -> None:
        self.image, self.arch, self.where = image, image.arch, str(image.path)
        self._dwarf: RuleTable | None = None

    def dwarf(self) -> RuleTable:
        """Of .eh_frame."""
        if self._dwarf is None:
            self._dwarf = self._read_dwarf()
        return self._dwarf

    def _read_dwarf(self) -> RuleTable:
        section = self.image.section(SECTIONS[Format.DWARF])
        if section is None or not section.data:
            return RuleTable(Format.DWARF, ())
        table = dwarf_table(section.data, section.address, self.arch, self.where)
        index = self.image.section(".eh_frame_hdr")  # the search table; ORC and SFrame count theirs too
        return replace(table, size=table.size + len(index.data)) if index else table

    def orc(self) -> RuleTable:
        """Of .orc_unwind and .orc_unwind_ip."""
        unwind, places = self.image.section(SECTIONS[Format.ORC]), self.image.section(".orc_unwind_ip")
        if unwind is None and places is None:
            return to_orc(self.dwarf(), self.arch, ORC_LAYOUT)
        if unwind is None or places is None:
            raise InputError(f"{self.where}: of .orc_unwind and .orc_unwind_ip one is missing; link it again")
        header = self.image.section(".orc_header")
        sections = OrcSections(unwind.data, places.data, header.data if header else b"")
        end = max((section.address + section.size for section in self.image.sections if section.executable), default=0)
        return read_orc(sections, places.address, end, self.arch, self.where)

    def sframe(self) -> RuleTable:
        """Of .sframe."""
        section = self.image.section(SECTIONS[Format.SFRAME])
        if section is None or not section.data:
            return to_sframe(self.dwarf(), self.arch, SFRAME_VERSION)
        return read_sframe(section.data, section.address, self.arch, self.where)
