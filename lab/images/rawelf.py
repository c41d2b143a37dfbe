"""ELF headers read byte by byte, before any parser sees an untrusted file.

Source: System V gABI chapters 4 and 5 (ELF header, section header, program header).
"""

from __future__ import annotations

import struct
from pathlib import Path

from lab.errors import InputError

PT_LOAD, PT_NOTE, PT_GNU_EH_FRAME, PT_GNU_STACK = 1, 4, 0x6474E550, 0x6474E551
ET_EXEC, ET_DYN = 2, 3
SHT_NULL, SHT_NOBITS = 0, 8
PF_X, PF_W, PF_R = 1, 2, 4
MAX_SIZE = 1 << 30


def read_elf_bytes(path: Path) -> bytes:
    """The bytes of *path*, known to be a static ELF64 LE executable header with a whole program-header table."""
    try:
        if path.stat().st_size > MAX_SIZE:
            raise InputError(f"{path}: larger than {MAX_SIZE >> 20} MiB; not an image this lab runs")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if raw[:4] != b"\x7fELF":
        raise InputError(f"{path}: not an ELF file")
    if len(raw) < 64:
        raise InputError(f"{path}: truncated ELF file ({len(raw)} bytes, the header alone is 64)")
    if raw[4] != 2 or raw[5] != 1:
        raise InputError(f"{path}: not a 64-bit little-endian ELF file")
    kind = struct.unpack_from("<H", raw, 16)[0]
    if kind not in {ET_EXEC, ET_DYN}:
        raise InputError(f"{path}: ELF type {kind} is not an executable; link it first")
    return raw


def program_headers(path: Path, raw: bytes) -> list[tuple[int, int, int, int, int, int]]:
    """(type, flags, offset, address, file size, memory size) of every program header, bounds checked."""
    (offset,) = struct.unpack_from("<Q", raw, 32)
    entry, count = struct.unpack_from("<HH", raw, 54)
    if count == 0 or entry != 56 or offset + 56 * count > len(raw):
        raise InputError(f"{path}: truncated ELF file or damaged program headers")
    headers = []
    for index in range(count):
        kind, flags, start, address, _, file_size, mem_size, _ = struct.unpack_from(
            "<IIQQQQQQ", raw, offset + 56 * index
        )
        headers.append((kind, flags, start, address, file_size, mem_size))
    return headers


def loaded_headers(path: Path, raw: bytes) -> tuple[tuple[int, int], ...]:
    """[start, end) of the addresses at which the ELF header and the program headers are loaded."""
    headers = program_headers(path, raw)
    (table,) = struct.unpack_from("<Q", raw, 32)
    found = []
    for low, high in ((0, 64), (table, table + 56 * len(headers))):
        for kind, _, start, address, size, _ in headers:
            if kind == PT_LOAD and start < high and low < start + size:
                found.append((address + max(low - start, 0), address + min(high - start, size)))
    return tuple(found)


def check_sections(path: Path, raw: bytes) -> None:
    """InputError unless the section table, if there is one, and every section's bytes lie inside the file."""
    (offset,) = struct.unpack_from("<Q", raw, 40)
    entry, count = struct.unpack_from("<HH", raw, 58)
    if offset == 0 or count == 0:
        return
    if entry != 64 or offset + 64 * count > len(raw):
        raise InputError(f"{path}: truncated ELF file or damaged section headers")
    for index in range(count):
        kind, _, _, start, size = struct.unpack_from("<IQQQQ", raw, offset + 64 * index + 4)
        if kind not in {SHT_NULL, SHT_NOBITS} and start + size > len(raw):
            raise InputError(f"{path}: damaged section header {index} (its bytes end outside the file)")
