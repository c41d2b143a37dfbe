"""Bounds-checked reading of exception-frame data: integers, LEB128, encoded pointers.

Sources: DWARF 5 section 7.6 (LEB128); LSB Core 5.0 section 10.5 (DW_EH_PE pointer encodings).  A pointer whose
encoded bytes are zero is null whatever it is relative to: libgcc's unwind-pe.h, read_encoded_value_with_base.
"""

from __future__ import annotations

from lab.errors import InputError

OMIT = 0xFF  # DW_EH_PE_omit: no value at all
PCREL, TEXTREL, DATAREL, FUNCREL, ALIGNED = 0x10, 0x20, 0x30, 0x40, 0x50
INDIRECT = 0x80
_BASE = 0x70
_ULEB, _SLEB = 0x01, 0x09
#: Low four bits of an encoding -> (bytes, signed).
FORMATS = {
    0x00: (8, False),
    0x02: (2, False),
    0x03: (4, False),
    0x04: (8, False),
    0x0A: (2, True),
    0x0B: (4, True),
    0x0C: (8, True),
}
_MASK = (1 << 64) - 1


class Reader:
    """Little-endian reading of *data*, a section called *section* and loaded at *base*, from *at* up to *end*.

    Every read past the end is an InputError that names *where* (a file), the section and the address."""

    __slots__ = ("at", "base", "data", "end", "section", "where")

    def __init__(
        self, data: bytes, base: int, where: str, at: int = 0, *, end: int | None = None, section: str = ".eh_frame"
    ) -> None:
        self.data, self.base, self.where, self.section = data, base, where, section
        self.at = at
        self.end = len(data) if end is None else end

    def part(self, at: int, end: int) -> Reader:
        """A reader of the bytes [at, end) of the same section."""
        return Reader(self.data, self.base, self.where, at, end=end, section=self.section)

    @property
    def address(self) -> int:
        """Address of the next byte."""
        return self.base + self.at

    def fail(self, what: str, at: int | None = None) -> InputError:
        """An error at offset *at* (default: here)."""
        place = self.base + (self.at if at is None else at)
        return InputError(f"{self.where}: {self.section} at {place:#x}: {what}")

    def skip(self, size: int) -> int:
        """Step over *size* bytes; the offset at which they start."""
        start = self.at
        if size > self.end - start:
            raise self.fail("truncated")
        self.at = start + size
        return start

    def take(self, size: int) -> bytes:
        """The next *size* bytes."""
        start = self.skip(size)
        return self.data[start : start + size]

    def byte(self) -> int:
        """The next byte."""
        return self.data[self.skip(1)]

    def unsigned(self, size: int) -> int:
        """The next *size* bytes as an unsigned number."""
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        """The next *size* bytes as a signed number."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def uleb(self) -> int:
        """An unsigned LEB128 number below 2^64."""
        at = self.at
        if at < self.end and self.data[at] < 0x80:  # nearly always
            self.at = at + 1
            return self.data[at]
        value, bits = self._leb()
        if value >> 64:
            raise self.fail("LEB128 number longer than 64 bits", self.at - bits // 7)
        return value

    def sleb(self) -> int:
        """A signed LEB128 number of at most 64 bits."""
        value, bits = self._leb()
        if value >> (bits - 1):
            value -= 1 << bits
        if not -(1 << 63) <= value < 1 << 63:
            raise self.fail("LEB128 number longer than 64 bits", self.at - bits // 7)
        return value

    def _leb(self) -> tuple[int, int]:
        """(the bits of a LEB128 number, how many)."""
        value = bits = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << bits
            bits += 7
            if not byte & 0x80:
                return value, bits
            if bits > 70:
                raise self.fail("LEB128 number longer than 64 bits")

    def text(self) -> bytes:
        """Bytes up to a zero byte, which is stepped over."""
        stop = self.data.find(b"\0", self.at, self.end)
        if stop < 0:
            raise self.fail("string without an end")
        found = self.data[self.at : stop]
        self.at = stop + 1
        return found

    def number(self, encoding: int) -> int:
        """The value in the format of *encoding*, its base ignored: lengths and counts."""
        kind = encoding & 0x0F
        if kind == _ULEB:
            return self.uleb()
        if kind == _SLEB:
            return self.sleb()
        if kind not in FORMATS:
            raise self.fail(f"unknown pointer format {encoding:#x}")
        size, signed = FORMATS[kind]
        return self.signed(size) if signed else self.unsigned(size)

    def pointer(self, encoding: int, bases: dict[int, int] | None = None) -> int:
        """An encoded pointer as an address; with INDIRECT, the address of the slot that holds it.  0 is null.

        *bases*: DATAREL or FUNCREL -> the address such pointers are relative to."""
        if encoding & _BASE == ALIGNED:
            self.skip(-self.address % 8)
            return self.unsigned(8)
        here = self.address
        value = self.number(encoding)
        if value == 0:
            return 0
        kind = encoding & _BASE
        if kind == PCREL:
            value += here
        elif kind:
            if bases is None or kind not in bases:
                raise self.fail(f"pointer encoding {encoding:#x} is relative to an unknown base", here - self.base)
            value += bases[kind]
        return value & _MASK
