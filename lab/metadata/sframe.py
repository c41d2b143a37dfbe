"""SFrame, versions 1 and 2, for AArch64 and AMD64 (little-endian), parsed.

Sources: The SFrame Format, version 1 (binutils 2.40) and version 2 (binutils 2.41; errata 1: binutils 2.45, flag
FDE_FUNC_START_PCREL); include/sframe.h of those.  Version 3 is refused: no producer is at hand to check against.
The section comes from an untrusted file: anything out of order is an InputError naming the address.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from lab.arch import Arch
from lab.errors import InputError
from lab.metadata.cfi_reader import Reader
from lab.metadata.rules import CfaBase

MAGIC = 0xDEE2
_SWAPPED = 0xE2DE
VERSIONS = (1, 2)
HEADER_SIZE = 28
FDE_SIZE = {1: 17, 2: 20}
SORTED, FRAME_POINTER, PCREL = 1, 2, 4
"""Flags: FDEs are sorted by address; all functions keep frame records; FDE addresses are relative to themselves."""
_FLAGS = {1: SORTED | FRAME_POINTER, 2: SORTED | FRAME_POINTER | PCREL}
ABI = {"aarch64": 2, "x86_64": 3}
FIXED_RA = {"aarch64": 0, "x86_64": -8}
"""Where the return address is in every frame, from the CFA (bytes); 0: as each row says."""
_ADDRESS_SIZES = (1, 2, 4)
_OFFSET_SIZES = (1, 2, 4)


class FdeType(enum.IntEnum):
    """How the start addresses of rows are meant."""

    PCINC = 0  # distance from the function's start
    PCMASK = 1  # version 1: a mask of pc; version 2: distance within a block of ``block`` bytes that repeats


class Fre(NamedTuple):
    """A frame row entry: holds from ``start``; offsets in bytes, the CFA's first."""

    start: int
    base: CfaBase
    offsets: tuple[int, ...]
    mangled: bool


class Function(NamedTuple):
    """A function descriptor entry; ``key_b``: return addresses are signed with key B; ``block``: bytes (version 2)."""

    start: int
    size: int
    type: FdeType
    block: int
    key_b: bool
    fres: tuple[Fre, ...]


@dataclass(frozen=True)
class Sframe:
    """A whole section; fixed offsets from the CFA in bytes, 0 for none; ``functions`` in file order."""

    version: int
    flags: int
    fixed_fp: int
    fixed_ra: int
    functions: tuple[Function, ...]


@dataclass(frozen=True, slots=True)
class _Header:
    version: int
    flags: int
    fixed_fp: int
    fixed_ra: int
    fdes: int
    fres: int
    fde_at: int
    fre_at: int
    fre_end: int


def parse_sframe(data: bytes, address: int, arch: Arch, where: str) -> Sframe:
    """*data*, the contents of .sframe loaded at *address* in an image of *arch*; *where* names the file in errors."""
    reader = Reader(data, address, where, section=".sframe")
    header = _header(reader, arch)
    functions, left = [], header.fres
    for number in range(header.fdes):
        at = header.fde_at + number * FDE_SIZE[header.version]
        function, rows = _function(reader.part(at, at + FDE_SIZE[header.version]), header, left)
        functions.append(function)
        left -= rows
    if left:
        raise reader.fail(f"the header counts {left} more row entries than the functions have", 12)
    return Sframe(header.version, header.flags, header.fixed_fp, header.fixed_ra, tuple(functions))


def _header(reader: Reader, arch: Arch) -> _Header:
    magic = reader.unsigned(2)
    if magic != MAGIC:
        what = "is big-endian" if magic == _SWAPPED else f"has magic number {magic:#x}, not {MAGIC:#x}"
        raise reader.fail(f"this SFrame section {what}", 0)
    version, flags = reader.byte(), reader.byte()
    if version not in VERSIONS:
        raise _refused(reader, version)
    if flags & ~_FLAGS[version]:
        raise reader.fail(f"unknown flags {flags:#x} for SFrame version {version}", 3)
    abi = reader.byte()
    if abi != ABI[arch.name]:
        raise reader.fail(f"ABI {abi} is not that of {arch.name} ({ABI[arch.name]})", 4)
    fixed_fp, fixed_ra, auxiliary = reader.signed(1), reader.signed(1), reader.byte()
    fdes, fres, fre_length, fde_at, fre_at = (reader.unsigned(4) for _ in range(5))
    start = reader.at + auxiliary
    size = len(reader.data)
    fde_end, fre_end = start + fde_at + fdes * FDE_SIZE[version], start + fre_at + fre_length
    if fde_end > size or fre_end > size:
        raise reader.fail("truncated", 0)
    if fdes and fre_at < fde_at + fdes * FDE_SIZE[version] and fde_at < fre_at + fre_length:
        raise reader.fail("function entries and row entries overlap", 0)
    if max(fde_end, fre_end, start) < size:
        raise reader.fail(
            f"{size - max(fde_end, fre_end, start)} bytes follow the table; link with a linker that merges .sframe",
            max(fde_end, fre_end, start),
        )
    return _Header(version, flags, fixed_fp, fixed_ra, fdes, fres, start + fde_at, start + fre_at, fre_end)


def _refused(reader: Reader, version: int) -> InputError:
    known = " and ".join(map(str, VERSIONS))
    return reader.fail(f"SFrame version {version} is not supported, only {known}; assemble for one of them", 2)


def _function(entry: Reader, header: _Header, left: int) -> tuple[Function, int]:
    """(the function entry in *entry*, how many rows it has), of at most *left*."""
    at, field = entry.at, entry.address
    start, size, rows_at, rows = entry.signed(4), entry.unsigned(4), entry.unsigned(4), entry.unsigned(4)
    info = entry.byte()
    block = entry.byte() if header.version > 1 else 0
    if info & 0xC0 or info & 15 >= len(_ADDRESS_SIZES):
        raise entry.fail(f"function information {info:#x} has no meaning", at)
    if rows > left:
        raise entry.fail("more row entries than the header counts", at)
    kind = FdeType(info >> 4 & 1)
    if kind is FdeType.PCMASK and header.version > 1 and not block:
        raise entry.fail("a repeated block of 0 bytes", at)
    origin = field if header.flags & PCREL else entry.base
    if not 0 <= origin + start <= (1 << 64) - 1 - size:
        raise entry.fail("code outside the address space", at)
    body = entry.part(header.fre_at + rows_at, header.fre_end)
    limit = block if kind is FdeType.PCMASK and header.version > 1 else size
    fres = _fres(body, rows, _ADDRESS_SIZES[info & 15], limit)
    return Function(origin + start, size, kind, block, bool(info & 0x20), fres), rows


def _fres(body: Reader, rows: int, width: int, limit: int) -> tuple[Fre, ...]:
    """*rows* row entries with start addresses of *width* bytes, which rise and stay below *limit*."""
    found: list[Fre] = []
    for _ in range(rows):
        at = body.at
        start, info = body.unsigned(width), body.byte()
        code = info >> 5 & 3
        if code >= len(_OFFSET_SIZES):
            raise body.fail(f"row information {info:#x} has no meaning", at)
        offsets = tuple(body.signed(_OFFSET_SIZES[code]) for _ in range(info >> 1 & 15))
        if start >= limit or (found and start <= found[-1].start):
            raise body.fail("row entries out of order, or beyond their function", at)
        found.append(Fre(start, CfaBase.SP if info & 1 else CfaBase.FP, offsets, bool(info & 0x80)))
    return tuple(found)
