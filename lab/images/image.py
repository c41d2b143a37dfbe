"""An ELF image as the lab reads it.  The only reader of ELF; lief does the parsing.

Input is untrusted: what lief would trip over is checked first (lab.images.rawelf), and every failure is one
line that names the file.
"""

from __future__ import annotations

import bisect
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import lief

from lab.arch import Arch, arch_by_machine
from lab.errors import InputError
from lab.images.fdes import Fde, eh_frame_address, read_fdes, terminator
from lab.images.functions import PLT_SECTIONS, Function, Symbols, read_symbols, with_frames
from lab.images.rawelf import (
    ET_DYN,
    MAX_SIZE,
    PF_X,
    PT_GNU_EH_FRAME,
    PT_LOAD,
    check_sections,
    loaded_headers,
    program_headers,
    read_elf_bytes,
)

lief.logging.disable()

__all__ = ["Function", "Image", "Section", "Segment", "load_image", "parse_image"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD: address and size in memory, initial bytes (may be shorter: the rest is zero), PF_* flags."""

    address: int
    size: int
    data: bytes
    flags: int

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Section:
    """One allocated section.  ``data`` is empty for SHT_NOBITS."""

    name: str
    address: int
    size: int
    data: bytes
    executable: bool
    writable: bool


@dataclass(frozen=True, slots=True)
class ProgramHeaders:
    """Where the table of ``count`` program headers lies in memory; address 0 where no segment holds it."""

    address: int = 0
    count: int = 0


@dataclass(frozen=True)
class Image:
    """A loaded, checked ELF image."""

    path: Path
    sha256: str
    arch: Arch
    position_independent: bool
    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    functions: tuple[Function, ...]
    symbols: dict[str, int]
    data_ranges: tuple[tuple[int, int], ...] = ()
    """[start, end) of data islands in text, from AArch64 ``$d``/``$x`` mapping symbols."""
    build_id: str = ""
    stripped: bool = False
    """No symbol tells a function: ``functions`` are the frame descriptions of .eh_frame, called ``sub_<hex start>``."""
    fdes_problem: str = ""
    """Why no function could be told by .eh_frame ("" = read, or there is none)."""
    headers: ProgramHeaders = ProgramHeaders()
    header_ranges: tuple[tuple[int, int], ...] = ()
    """[start, end) of loaded bytes of the ELF header and the program headers."""

    @cached_property
    def _starts(self) -> list[int]:
        return [function.start for function in self.functions]

    def section(self, name: str) -> Section | None:
        """The allocated section called *name*."""
        return next((s for s in self.sections if s.name == name), None)

    def read(self, address: int, size: int) -> bytes:
        """*size* initial bytes at *address*; InputError where no segment holds them."""
        for segment in self.segments:
            if segment.address <= address and address + size <= segment.end:
                start = address - segment.address
                return segment.data[start : start + size].ljust(size, b"\0")
        raise InputError(f"{self.path}: no {size} bytes at {address:#x} in any segment")

    def function_at(self, address: int) -> Function | None:
        """The function whose [start, start + size) holds *address*: the address itself, never address - 1."""
        index = bisect.bisect_right(self._starts, address) - 1
        while index >= 0 and self._reach[index] > address:  # the nearest one may be nested in another
            if address < self.functions[index].end:
                return self.functions[index]
            index -= 1
        return None

    @cached_property
    def _reach(self) -> list[int]:
        """Per function the highest end of it and those before it."""
        return list(accumulate((f.end for f in self.functions), max))

    def locate(self, address: int) -> str:
        """*address* as ``func+0x1c``, or in hexadecimal where no function holds it."""
        function = self.function_at(address)
        return f"{function.name}+{address - function.start:#x}" if function else f"{address:#x}"

    @property
    def text_bytes(self) -> int:
        """Bytes in executable sections; in executable segments where the file has no sections."""
        if self.sections:
            return sum(section.size for section in self.sections if section.executable)
        return sum(segment.size for segment in self.segments if segment.flags & PF_X)


def load_image(path: Path) -> Image:
    """Read and check *path*.  InputError (exit 2) for anything that is not a static 64-bit little-endian
    executable of a supported machine with its segments inside the file."""
    return parse_image(read_elf_bytes(path), path)


def parse_image(raw: bytes, path: Path) -> Image:
    """The image in *raw*, bytes whose ELF header was checked (read_elf_bytes) or written by this project;
    *path* names it in errors."""
    arch = arch_by_machine(struct.unpack_from("<H", raw, 18)[0], str(path))
    segments = _segments(path, raw)
    check_sections(path, raw)
    (entry,) = struct.unpack_from("<Q", raw, 24)
    if not any(s.address <= entry < s.end and s.flags & PF_X for s in segments):
        raise InputError(f"{path}: the entry point {entry:#x} lies in no executable segment; link it again")
    symbols, sections, build_id = _parsed(path, raw)
    _check_loaded(path, segments, sections)
    fdes, problem = _fdes(path, raw, segments, sections)
    code = [(s.address, s.end) for s in segments if s.flags & PF_X]
    stubs = [(s.address, s.address + s.size) for s in sections if s.name in PLT_SECTIONS]
    return Image(
        path=path,
        sha256=hashlib.sha256(raw).hexdigest(),
        arch=arch,
        position_independent=struct.unpack_from("<H", raw, 16)[0] == ET_DYN,
        entry=entry,
        segments=segments,
        sections=sections,
        functions=with_frames(symbols, fdes, code, stubs),
        symbols=symbols.addresses,
        data_ranges=symbols.islands,
        build_id=build_id,
        stripped=not symbols.functions,
        fdes_problem=problem,
        headers=_headers(path, raw),
        header_ranges=loaded_headers(path, raw),
    )


def _headers(path: Path, raw: bytes) -> ProgramHeaders:
    """Where Linux finds the table in memory: in the PT_LOAD whose part of the file holds it (v5.18 binfmt_elf.c)."""
    (offset,) = struct.unpack_from("<Q", raw, 32)
    headers = program_headers(path, raw)
    for kind, _, start, address, file_size, _ in headers:
        if kind == PT_LOAD and start <= offset < start + file_size:
            return ProgramHeaders(offset - start + address, len(headers))
    return ProgramHeaders(0, len(headers))


def _parsed(path: Path, raw: bytes) -> tuple[Symbols, tuple[Section, ...], str]:
    """What lief reads."""
    binary = lief.ELF.parse(raw)
    if binary is None:
        raise InputError(f"{path}: the ELF parser rejects this file")
    return read_symbols(binary), _sections(binary), _build_id(binary)


def _check_loaded(path: Path, segments: Sequence[Segment], sections: Sequence[Section]) -> None:
    """InputError unless sections hold what is loaded at their addresses: some readers go by them, some by segments."""
    for section in sections:
        start, end = section.address, section.address + len(section.data)
        home = next((s for s in segments if s.address <= start and end <= s.end), None)
        if section.data and (home is None or home.data[start - home.address : end - home.address] != section.data):
            raise InputError(f"{path}: section {section.name} is not what is loaded at {start:#x}; link it again")


def _segments(path: Path, raw: bytes) -> tuple[Segment, ...]:
    found = []
    for kind, flags, start, address, file_size, mem_size in program_headers(path, raw):
        if kind == 3:
            raise InputError(f"{path}: dynamically linked (PT_INTERP); link it statically")
        if kind != PT_LOAD:
            continue
        if start + file_size > len(raw):
            raise InputError(
                f"{path}: truncated ELF file (a segment ends at {start + file_size:#x}, the file at {len(raw):#x})"
            )
        if file_size > mem_size or mem_size > MAX_SIZE or address + mem_size >= 1 << 47:
            raise InputError(f"{path}: damaged segment at {address:#x}")
        if mem_size:
            found.append(Segment(address, mem_size, raw[start : start + file_size], flags))
    found.sort(key=lambda s: s.address)
    if not found:
        raise InputError(f"{path}: nothing to load (no PT_LOAD segment)")
    for left, right in zip(found, found[1:], strict=False):
        if left.end > right.address:
            raise InputError(f"{path}: segments overlap at {right.address:#x}")
    return tuple(found)


def _sections(binary: Any) -> tuple[Section, ...]:
    flags = lief.ELF.Section.FLAGS
    found = []
    for section in binary.sections:
        if not section.has(flags.ALLOC) or section.has(flags.TLS):
            continue
        empty = section.type == lief.ELF.Section.TYPE.NOBITS
        found.append(
            Section(
                str(section.name),
                section.virtual_address,
                section.size,
                b"" if empty else bytes(section.content),
                section.has(flags.EXECINSTR),
                section.has(flags.WRITE),
            )
        )
    return tuple(found)


def _fdes(path: Path, raw: bytes, segments: Sequence[Segment], sections: Sequence[Section]) -> tuple[list[Fde], str]:
    """The FDEs of the image, and why they could not be read: damage there is a fact about it, not an error."""
    data, address = b"", 0
    section = next((s for s in sections if s.name == ".eh_frame"), None)
    if section is not None:
        data, address = section.data, section.address
    elif not sections:
        data, address = _frames_by_header(path, raw, segments)
    try:
        return read_fdes(data, address, str(path)), ""
    except InputError as error:
        return [], str(error)


def _frames_by_header(path: Path, raw: bytes, segments: Sequence[Segment]) -> tuple[bytes, int]:
    """.eh_frame of a file without sections: from where PT_GNU_EH_FRAME points to its terminator."""
    for kind, _, start, address, size, _ in program_headers(path, raw):
        found = eh_frame_address(raw[start : start + size], address) if kind == PT_GNU_EH_FRAME else None
        home = next((s for s in segments if found is not None and s.address <= found < s.end), None)
        if home is not None and found is not None:
            data = home.data[found - home.address :]
            return data[: terminator(data)], found
    return b"", 0


def _build_id(binary: Any) -> str:
    for note in binary.notes:
        try:
            name = str(note.name).rstrip("\0")
        except UnicodeDecodeError:
            continue  # a damaged note is nobody's build-id
        if name == "GNU" and note.type == lief.ELF.Note.TYPE.GNU_BUILD_ID:
            return bytes(note.description).hex()
    return ""
