"""The rule tables of an image: read from its own sections where it has them, else converted from .eh_frame.

The image is taken by shape, so that this package needs no reader of ELF.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    return {int(kind): _READERS[Format(kind)](image) for kind in kinds}


def _dwarf(image: ImageLike) -> RuleTable:
    section = image.section(SECTIONS[Format.DWARF])
    if section is None or not section.data:
        return RuleTable(Format.DWARF, ())
    return dwarf_table(section.data, section.address, image.arch, str(image.path))


def _orc(image: ImageLike) -> RuleTable:
    unwind, places = image.section(SECTIONS[Format.ORC]), image.section(".orc_unwind_ip")
    if unwind is None and places is None:
        return to_orc(_dwarf(image), image.arch, ORC_LAYOUT)
    if unwind is None or places is None:
        raise InputError(f"{image.path}: of .orc_unwind and .orc_unwind_ip one is missing; link it again")
    header = image.section(".orc_header")
    sections = OrcSections(unwind.data, places.data, header.data if header else b"")
    return read_orc(sections, places.address, _text_end(image), image.arch, str(image.path))


def _sframe(image: ImageLike) -> RuleTable:
    section = image.section(SECTIONS[Format.SFRAME])
    if section is None or not section.data:
        return to_sframe(_dwarf(image), image.arch, SFRAME_VERSION)
    return read_sframe(section.data, section.address, image.arch, str(image.path))


def _text_end(image: ImageLike) -> int:
    return max((section.address + section.size for section in image.sections if section.executable), default=0)


_READERS = {Format.DWARF: _dwarf, Format.ORC: _orc, Format.SFRAME: _sframe}
