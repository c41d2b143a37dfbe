"""Where functions are by .eh_frame alone: the ranges of its frame descriptions (FDEs), for images without symbols.

Only starts, sizes and the augmentation are read, not the unwind rules.  Source: LSB Core 5.0 sections 10.5.1
(pointer encodings) and 10.6.1 (.eh_frame); the augmentation 'S' (signal frame) is GCC's, 'B' and 'G' are Arm's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lab.errors import InputError

_FORMATS = {0x0: "<Q", 0x2: "<H", 0x3: "<I", 0x4: "<Q", 0xA: "<h", 0xB: "<i", 0xC: "<q"}
"""Low four bits of a pointer encoding -> its struct format; the two LEB128 forms occur in no linker's output."""
_PCREL, _OMIT = 0x10, 0xFF
_EXTENDED_LENGTH = 0xFFFF_FFFF
_U64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Fde:
    """One frame description: [start, start + size) and whether it is of a signal-return trampoline."""

    start: int
    size: int
    signal: bool


@dataclass(frozen=True, slots=True)
class _Cie:
    encoding: int
    signal: bool


def read_fdes(data: bytes, base: int, where: str) -> list[Fde]:
    """The FDEs of section contents *data* loaded at *base*, in file order; terminators in between are passed.

    InputError, with *where* and the address, for anything damaged or in an encoding linkers do not write."""
    cies: dict[int, _Cie] = {}
    found = []
    at = 0
    try:
        while at + 4 <= len(data):
            (length,) = struct.unpack_from("<I", data, at)
            if length == 0:
                at += 4
                continue
            start, end = at + 4, at + 4 + length
            if length == _EXTENDED_LENGTH or end > len(data) or length < 4:
                raise ValueError(f"length {length:#x}")
            (pointer,) = struct.unpack_from("<I", data, start)
            if pointer:
                cie = cies.get(start - pointer)
                if cie is None:
                    cie = cies[start - pointer] = _read_cie(data, start - pointer)
                found.append(_read_fde(data, base, start + 4, cie))
            at = end
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{where}: damaged .eh_frame at {base + at:#x} ({error})") from None
    return found


def _read_fde(data: bytes, base: int, at: int, cie: _Cie) -> Fde:
    shape = _FORMATS[cie.encoding & 15]
    (start,) = struct.unpack_from(shape, data, at)
    size = struct.unpack_from(shape, data, at + struct.calcsize(shape))[0]
    if cie.encoding & _PCREL:
        start += base + at
    return Fde(start & _U64, size & (1 << 8 * struct.calcsize(shape)) - 1, cie.signal)


def _read_cie(data: bytes, at: int) -> _Cie:
    """The CIE whose length field is at offset *at*: ValueError, IndexError or struct.error for what is none."""
    if at < 0:
        raise ValueError("an FDE without a CIE")
    _, zero, version = struct.unpack_from("<IIB", data, at)
    if zero or version not in {1, 3}:
        raise ValueError(f"an FDE whose CIE is none, or of version {version}")
    end = data.index(b"\0", at + 9)
    augmentation = data[at + 9 : end]
    at = _skip_leb(data, _skip_leb(data, end + 1))  # code and data alignment factors
    at = at + 1 if version == 1 else _skip_leb(data, at)  # return-address register
    encoding, signal = 0, False
    if augmentation[:1] == b"z":
        at = _skip_leb(data, at)
    for letter in augmentation.removeprefix(b"z"):
        match chr(letter):
            case "R":
                encoding = data[at]
                at += 1
            case "L":
                at += 1
            case "P":
                at += 1 + struct.calcsize(_format(data[at]))
            case "S":
                signal = True
            case "B" | "G":
                pass
            case _:
                raise ValueError(f"CIE augmentation {augmentation.decode('latin-1')!r}")
    _format(encoding)
    return _Cie(encoding, signal)


def _format(encoding: int) -> str:
    """The struct format of a pointer *encoding*: absolute or relative to its own address, possibly indirect."""
    if encoding & 15 not in _FORMATS or encoding & 0x70 not in {0, _PCREL} or encoding == _OMIT:
        raise ValueError(f"pointer encoding {encoding:#x}")
    return _FORMATS[encoding & 15]


def _skip_leb(data: bytes, at: int) -> int:
    """The offset behind the LEB128 number at *at*."""
    while data[at] & 0x80:
        at += 1
    return at + 1


def eh_frame_address(header: bytes, base: int) -> int | None:
    """The start of .eh_frame from the contents of PT_GNU_EH_FRAME at *base* (LSB 10.6.2); None for unknown forms."""
    if len(header) < 12 or header[0] != 1:
        return None
    try:
        shape = _format(header[1])
    except ValueError:
        return None
    value: int = struct.unpack_from(shape, header, 4)[0]
    return (value + (base + 4 if header[1] & _PCREL else 0)) & _U64


def terminator(data: bytes) -> int:
    """The offset of the terminator of .eh_frame contents *data* whose end is not known; 0 where there is none."""
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        if length in {0, _EXTENDED_LENGTH}:
            return at if length == 0 else 0
        at += 4 + length
    return 0
