"""The rule tables of an image: read from its own sections where it has them.

The image is taken by shape, so that this package needs no reader of ELF.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from lab.arch import Arch
from lab.metadata.dwarf_rules import dwarf_table
from lab.metadata.rules import Format, RuleTable


class SectionLike(Protocol):
    """A loaded section."""

    @property
    def address(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class ImageLike(Protocol):
    """What is needed of an image (lab.images.image.Image has it)."""

    @property
    def arch(self) -> Arch: ...
    @property
    def path(self) -> Path: ...
    def section(self, name: str, /) -> SectionLike | None: ...


def read_tables(image: ImageLike, kinds: Iterable[int]) -> dict[int, RuleTable]:
    """The table of each of *kinds* (Format), by number.  InputError where a section is damaged or of an unknown
    version; a table without rows and without an origin where the image says nothing."""
    return {int(kind): _READERS[Format(kind)](image) for kind in kinds}


def _dwarf(image: ImageLike) -> RuleTable:
    section = image.section(".eh_frame")
    if section is None or not section.data:
        return RuleTable(Format.DWARF, ())
    return dwarf_table(section.data, section.address, image.arch, str(image.path))


_READERS = {Format.DWARF: _dwarf}
