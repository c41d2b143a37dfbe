"""The section headers of an ELF file, to be changed and written anew behind everything else.

No loaded byte changes but in the ELF header.  Source: System V gABI chapter 4 (sections, string tables).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from lab.errors import InputError
from lab.images.rawelf import PT_LOAD, SHT_NOBITS

PHDR = struct.Struct("<IIQQQQQQ")
SHF_ALLOC, SHF_EXECINSTR = 2, 4
SHN_LORESERVE = 0xFF00
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SHT_STRTAB = 3
_MOST_ALIGNED = 1 << 16
_PHOFF, _MACHINE, _SHOFF, _PHNUM, _SHENTSIZE, _SHNUM, _SHSTRNDX = 5, 2, 6, 10, 11, 12, 13


@dataclass
class Header:
    """A section header, in the order of its fields; ``data``: new contents, for the end of the file."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int
    data: bytes | None = None

    def pack(self) -> bytes:
        """The 64 bytes of the file."""
        place = (self.name, self.kind, self.flags, self.address, self.offset, self.size)
        return _SHDR.pack(*place, self.link, self.info, self.align, self.entry)


def program_headers(raw: bytes | bytearray) -> list[tuple[int, ...]]:
    """Every program header of a checked file, as its fields."""
    header = _EHDR.unpack_from(raw)
    return [PHDR.unpack_from(raw, header[_PHOFF] + PHDR.size * index) for index in range(header[_PHNUM])]


class SectionTable:
    """The section headers of the file *raw*; InputErrors name *where*."""

    def __init__(self, raw: bytes, where: str) -> None:
        self.raw, self.where = bytearray(raw), where
        self._header = list(_EHDR.unpack_from(raw))
        self._loads = [entry for entry in program_headers(raw) if entry[0] == PT_LOAD]
        offset, count = self._header[_SHOFF], self._header[_SHNUM]
        if count >= SHN_LORESERVE or (offset == 0) != (count == 0):
            raise self.damaged("number of section headers")
        try:
            self.sections = [Header(*_SHDR.unpack_from(raw, offset + _SHDR.size * index)) for index in range(count)]
        except (struct.error, OverflowError):
            raise self.damaged("section headers") from None
        if not self.sections:
            nothing = Header(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
            self.sections = [nothing, Header(0, _SHT_STRTAB, 0, 0, 0, 0, 0, 0, 1, 0, b"\0")]
            self._header[_SHSTRNDX] = 1
            self.sections[1].name = self.strings(1, [".shstrtab"])[0]
        if not 0 < self._header[_SHSTRNDX] < len(self.sections):
            raise self.damaged("section-name table")

    @property
    def machine(self) -> int:
        """The file's e_machine."""
        return int(self._header[_MACHINE])

    def damaged(self, what: str) -> InputError:
        """The error for tables that make no sense."""
        return InputError(f"{self.where}: damaged {what}; strip the file or link it again")

    def contents(self, section: Header) -> bytes:
        """The bytes of *section* as they will be written."""
        if section.data is not None:
            return section.data
        if section.kind == SHT_NOBITS or section.offset + section.size > len(self.raw):
            raise self.damaged("section (its bytes end outside the file)")
        return bytes(self.raw[section.offset : section.offset + section.size])

    def loaded(self, section: Header) -> bool:
        """Whether bytes of *section* are loaded with a segment."""
        start, end = section.offset, section.offset + section.size
        return any(start < entry[2] + entry[5] and entry[2] < end for entry in self._loads)

    def name(self, section: Header) -> str:
        """The name of *section*."""
        table = self.contents(self.sections[self._header[_SHSTRNDX]])
        end = table.find(b"\0", section.name)
        if end < 0:
            raise self.damaged("section name")
        return table[section.name : end].decode("latin-1")

    def rename(self, section: Header, name: str) -> None:
        """Call *section* *name*."""
        section.name = self.strings(self._header[_SHSTRNDX], [name])[0]

    def strings(self, table: int, texts: Iterable[str]) -> list[int]:
        """Offsets of *texts*, appended to the string table number *table*."""
        section = self.sections[table]
        data = bytearray(self.contents(section))
        found = []
        for text in texts:
            found.append(len(data))
            data += text.encode("utf-8", "surrogateescape") + b"\0"
        section.data = bytes(data)
        return found

    def offset(self, address: int, size: int) -> int:
        """Where in the file the loaded bytes [address, address + size) lie."""
        for _, _, offset, start, _, length, _, _ in self._loads:
            if start <= address and address + size <= start + length:
                return offset + address - start
        raise InputError(f"{self.where}: no segment holds {size} bytes at {address:#x}")

    def write(self) -> bytes:
        """The file: new contents behind the old, the section headers last."""
        for section in self.sections:
            if section.data is not None:
                if section.align > _MOST_ALIGNED:
                    raise self.damaged("section alignment")
                self.raw += bytes(-len(self.raw) % max(section.align, 1))
                section.offset, section.size = len(self.raw), len(section.data)
                self.raw += section.data
        self.raw += bytes(-len(self.raw) % 8)
        self._header[_SHOFF], self._header[_SHENTSIZE] = len(self.raw), _SHDR.size
        self._header[_SHNUM] = len(self.sections)
        for section in self.sections:
            self.raw += section.pack()
        self.raw[: _EHDR.size] = _EHDR.pack(*self._header)
        return bytes(self.raw)

    def program_header(self, kind: int, address: int, size: int) -> None:
        """Let the program headers of *kind* lead to the loaded bytes [address, address + size)."""
        for index, entry in enumerate(program_headers(self.raw)):
            if entry[0] == kind:
                new = (kind, entry[1], self.offset(address, size), address, address, size, size, entry[7])
                PHDR.pack_into(self.raw, self._header[_PHOFF] + PHDR.size * index, *new)
