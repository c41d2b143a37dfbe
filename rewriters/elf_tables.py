"""The parts of a rewritten file that nothing loads, finished: section headers, symbols, and PT_GNU_EH_FRAME.

rewriters.segments writes segments; what debuggers and binary tools read beside them is written here, behind everything
else, so that no loaded byte changes but in the ELF header and the program headers.  Sources: System V gABI chapter 4
(symbol tables: local symbols come first, ``sh_info`` counts them); AAELF64 section 5.5.3 (mapping symbols ``$x``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lab.errors import InputError
from rewriters.elf_sections import SHF_ALLOC, SHF_EXECINSTR, SHN_LORESERVE, Header, SectionTable, program_headers

_PT_GNU_EH_FRAME = 0x6474E550
_SHT_PROGBITS, _SHT_SYMTAB, _SHT_RELA, _SHT_SYMTAB_SHNDX = 1, 2, 4, 18
_STT_NOTYPE, _STT_FUNC, _STT_IFUNC = 0, 2, 10
_EM_AARCH64 = 183
_RELA_SIZE = 24
_OLD = ".old"
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)


@dataclass(frozen=True, slots=True)
class NewSection:
    """Bytes of a new segment, named.  A loaded section of the same name keeps its place as ``name.old``."""

    name: str
    address: int
    size: int
    executable: bool = False


@dataclass(frozen=True, slots=True)
class NewSymbol:
    """A function of the rewriter's own: a local FUNC symbol."""

    name: str
    value: int
    size: int


@dataclass(frozen=True, slots=True)
class Moved:
    """The function [old_start, old_end) now stands at [new_start, new_end)."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


@dataclass(frozen=True)
class Changes:
    """What the tables must say.  ``place``: new address of a carried instruction, None if it was not carried (for
    labels within moved functions); ``header``: (address, size) of the new .eh_frame_hdr."""

    sections: Sequence[NewSection] = ()
    symbols: Sequence[NewSymbol] = ()
    moved: Sequence[Moved] = ()
    place: Callable[[int], int | None] = field(default=lambda _: None)
    header: tuple[int, int] | None = None


def eh_frame_header(raw: bytes) -> tuple[int, int] | None:
    """(address, size) of PT_GNU_EH_FRAME in the checked file *raw*; None without one."""
    found = (entry for entry in program_headers(raw) if entry[0] == _PT_GNU_EH_FRAME)
    return next(((entry[3], entry[6]) for entry in found), None)


def finish(raw: bytes, changes: Changes, where: str) -> bytes:
    """*raw*, a file whose segments are complete, with its tables changed.

    InputError naming *where* (the file) if its section headers are damaged, or what is new lies in no segment."""
    table = SectionTable(raw, where)
    first = len(table.sections)
    for new in changes.sections:
        _add(table, new)
    if any(section.kind == _SHT_SYMTAB for section in table.sections):
        _Symbols(table, changes, first).change()
    if changes.header is not None:
        table.program_header(_PT_GNU_EH_FRAME, *changes.header)
    return table.write()


def _add(table: SectionTable, new: NewSection) -> None:
    """A new section, of the type of an old one of its name, which is renamed."""
    kind = _SHT_PROGBITS
    same = [old for old in table.sections if old.flags & SHF_ALLOC and table.name(old) == new.name]
    if len(same) > 1:
        raise table.damaged(f"section headers (two sections are called {new.name})")
    for old in same:
        kind = old.kind
        table.rename(old, new.name + _OLD)
    flags, align = (SHF_ALLOC | SHF_EXECINSTR, 16) if new.executable else (SHF_ALLOC, 8)
    section = Header(0, kind, flags, new.address, table.offset(new.address, new.size), new.size, 0, 0, align, 0)
    table.rename(section, new.name)
    table.sections.append(section)


class _Symbols:
    """The symbol table: moved functions, new ones, and mapping symbols for new code (AArch64).

    *first* is the number of the first new section."""

    def __init__(self, table: SectionTable, changes: Changes, first: int) -> None:
        self.table, self.changes, self.first = table, changes, first
        self.section = next(section for section in table.sections if section.kind == _SHT_SYMTAB)
        section, data = self.section, table.contents(self.section)
        known = 0 < section.link < len(table.sections) and section.entry == _SYMBOL.itemsize
        extended = any(other.kind == _SHT_SYMTAB_SHNDX for other in table.sections)
        if not known or extended or len(data) % _SYMBOL.itemsize or section.info * _SYMBOL.itemsize > len(data):
            raise table.damaged("symbol table")
        self.names = table.contents(table.sections[section.link])
        self.symbols = np.frombuffer(data, _SYMBOL).copy()
        kinds, home = self.symbols["info"] & 15, self.symbols["section"]
        code = (kinds == _STT_FUNC) | (kinds == _STT_IFUNC) | (kinds == _STT_NOTYPE)
        chosen = np.flatnonzero(code & (home != 0) & (home < SHN_LORESERVE))
        self.order = chosen[np.argsort(self.symbols["value"][chosen], kind="stable")]
        self.values = self.symbols["value"][self.order]

    def change(self) -> None:
        """Everything, in the table's headers and contents."""
        for body in self.changes.moved:
            self.move(body)
        new = self.created()
        locals_end = self.section.info
        parts = (self.symbols[:locals_end], new, self.symbols[locals_end:])
        self.section.data = b"".join(part.tobytes() for part in parts)
        self.renumber(locals_end, len(new))
        self.section.info += len(new)

    def move(self, body: Moved) -> None:
        """Every symbol within *body*: all names of the function, and labels at instructions that were carried."""
        low, high = np.searchsorted(self.values, np.array([body.old_start, body.old_end], dtype=np.uint64))
        for at in self.order[low:high]:
            if not self.mapping(int(self.symbols["name"][at])):
                self.move_one(int(at), body)

    def move_one(self, at: int, body: Moved) -> None:
        """Symbol number *at*; one at an instruction that was not carried stays."""
        value, size = int(self.symbols["value"][at]), int(self.symbols["size"][at])
        start = body.new_start if value == body.old_start else self.changes.place(value)
        if start is None:
            return
        if size:
            end = body.new_end if value + size >= body.old_end else self.changes.place(value + size)
            self.symbols["size"][at] = end - start if end is not None and end > start else size
        self.symbols["value"][at] = start
        self.symbols["section"][at] = self.home(start)

    def mapping(self, name: int) -> bool:
        """The name at offset *name* is a mapping symbol's: it speaks of bytes, and those stay."""
        text = self.names[name : name + 3]
        return text[:2] in {b"$x", b"$d"} and text[2:] in {b"\0", b"."}

    def home(self, address: int) -> int:
        """The number of the new section that holds *address*."""
        for index, section in enumerate(self.table.sections[self.first :], self.first):
            if section.address <= address < section.address + section.size:
                return index
        raise InputError(f"{self.table.where}: no new section holds {address:#x}")

    def created(self) -> np.ndarray:
        """New local symbols."""
        wanted = [(s.name, _STT_FUNC, s.value, s.size) for s in self.changes.symbols]
        if self.table.machine == _EM_AARCH64:
            wanted += [("$x", _STT_NOTYPE, s.address, 0) for s in self.changes.sections if s.executable]
        made = np.zeros(len(wanted), _SYMBOL)
        names = self.table.strings(self.section.link, [name for name, *_ in wanted])
        for at, (_, kind, value, size) in enumerate(wanted):
            made[at] = (names[at], kind, 0, self.home(value), value, size)
        return made

    def renumber(self, first: int, by: int) -> None:
        """Retained relocations name symbols by number: those from *first* on have moved up *by*."""
        number = next(i for i, section in enumerate(self.table.sections) if section is self.section)
        for section in self.table.sections:
            if by and section.kind == _SHT_RELA and section.link == number and not section.flags & SHF_ALLOC:
                contents = self.table.contents(section)
                if len(contents) % _RELA_SIZE or self.table.loaded(section):
                    raise self.table.damaged("relocation section")
                entries = np.frombuffer(contents, "<u8").copy()
                info = entries[1::3]
                info[info >> np.uint64(32) >= first] += np.uint64(by << 32)
                self.table.raw[section.offset : section.offset + section.size] = entries.tobytes()
