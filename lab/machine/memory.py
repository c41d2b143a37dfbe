"""Guest memory: anonymous host pages that unicorn maps by pointer, so reads need no call into it.

Nothing of the host is reachable from the guest: only these pages are mapped, all anonymous.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from dataclasses import dataclass

PAGE = 0x1000
_U64 = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapped range: [start, end), its backing pages and the range's name for messages."""

    start: int
    end: int
    pages: mmap.mmap
    name: str
    writable: bool
    executable: bool

    @property
    def host_address(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self.pages))


class GuestMemory:
    """The mapped ranges of one machine, sorted by address, never overlapping."""

    def __init__(self) -> None:
        self.mappings: list[Mapping] = []
        self._recent: Mapping | None = None

    def add(self, start: int, size: int, name: str, *, writable: bool, executable: bool) -> Mapping:
        """Map *size* bytes (rounded up to pages) of zeroes at *start* (page aligned)."""
        size = -(-size // PAGE) * PAGE
        mapping = Mapping(start, start + size, mmap.mmap(-1, size), name, writable, executable)
        self.mappings.append(mapping)
        self.mappings.sort(key=lambda m: m.start)
        return mapping

    def find(self, address: int) -> Mapping | None:
        """The mapping that holds *address*."""
        for mapping in self.mappings:
            if mapping.start <= address < mapping.end:
                return mapping
        return None

    def load(self, address: int) -> int | None:
        """The little-endian 64-bit value at *address*, or None where not all eight bytes are in one mapping."""
        mapping = self._recent  # most reads follow one to the same mapping
        if mapping is None or not mapping.start <= address <= mapping.end - 8:
            mapping = self.find(address)
            if mapping is None or address > mapping.end - 8:
                return None
            self._recent = mapping
        value: int = _U64.unpack_from(mapping.pages, address - mapping.start)[0]
        return value

    def read(self, address: int, size: int) -> bytes:
        """Up to *size* bytes at *address*; fewer where the mapping ends, none where nothing is mapped."""
        mapping = self.find(address)
        if mapping is None:
            return b""
        offset = address - mapping.start
        return mapping.pages[offset : offset + size]

    def fetch(self, address: int, size: int) -> bytes:
        """Up to *size* bytes of code at *address*, as a processor fetches it: it goes on into executable memory that
        follows without a gap.
        """
        code = self.read(address, size)
        while len(code) < size:
            mapping = self.find(address + len(code))
            if not code or mapping is None or not mapping.executable:
                break
            code += self.read(mapping.start, size - len(code))
        return code

    def write(self, address: int, data: bytes) -> None:
        """Host write into the guest, before a run.  KeyError where the range is not mapped."""
        mapping = self.find(address)
        if mapping is None or address + len(data) > mapping.end:
            raise KeyError(hex(address))
        offset = address - mapping.start
        mapping.pages[offset : offset + len(data)] = data
