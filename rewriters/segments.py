"""The program headers of an ELF file, and the loaded bytes behind them, changed in place; new contents go to the end.

No byte of the file changes but the ones asked for, whatever the file holds: nothing is parsed but its headers.  Source:
System V gABI chapter 5 (program headers: loadable segments ascend; offset and address agree modulo the alignment).
"""

from __future__ import annotations

import struct

from lab.errors import InputError
from lab.images.image import Image
from lab.images.rawelf import PF_W, PT_LOAD

PAGE = 0x1000
_PHDR = struct.Struct("<IIQQQQQQ")
_KIND, _FLAGS, _OFFSET, _ADDRESS, _PHYSICAL, _FILE_SIZE, _MEMORY_SIZE = range(7)
_ENTRY, _PHOFF, _PHNUM, _EHDR_SIZE = 24, 32, 56, 64


class SegmentTable:
    """The file *raw*, which was read as *image*.  InputErrors name the file."""

    def __init__(self, image: Image, raw: bytes) -> None:
        self._where, self._raw = image.path, bytearray(raw)
        (self._at,) = struct.unpack_from("<Q", raw, _PHOFF)
        (count,) = struct.unpack_from("<H", raw, _PHNUM)
        self._end = self._at + _PHDR.size * count
        self._headers = [list(_PHDR.unpack_from(raw, self._at + _PHDR.size * index)) for index in range(count)]
        ranges = sorted((h[_OFFSET], h[_OFFSET] + h[_FILE_SIZE]) for h in self._loads() if h[_FILE_SIZE])
        if any(left[1] > right[0] for left, right in zip(ranges, ranges[1:], strict=False)):
            raise InputError(f"{self._where}: two segments share bytes of the file; link it again")

    def _loads(self) -> list[list[int]]:
        return [header for header in self._headers if header[_KIND] == PT_LOAD and header[_MEMORY_SIZE]]

    def patch(self, address: int, data: bytes) -> None:
        """Overwrite loaded bytes.  InputError where the file does not hold all of them."""
        for header in self._loads():
            start = address - header[_ADDRESS]
            if start >= 0 and start + len(data) <= header[_FILE_SIZE]:
                at = header[_OFFSET] + start
                if at < _EHDR_SIZE or (at < self._end and self._at < at + len(data)):
                    raise InputError(
                        f"{self._where}: the code at {address:#x} lies in the file's headers; link it again"
                    )
                self._raw[at : at + len(data)] = data
                return
        raise InputError(f"{self._where}: the file holds no {len(data)} bytes for {address:#x}; link it again")

    def grow(self, end: int) -> None:
        """Let the last writable segment, in memory, end at *end*."""
        grown = max((h for h in self._loads() if h[_FLAGS] & PF_W), key=lambda h: h[_ADDRESS])
        grown[_MEMORY_SIZE] = end - grown[_ADDRESS]

    def replace(self, kinds: tuple[int, ...], flags: int, address: int, size: int, data: bytes = b"") -> bool:
        """A loadable segment of *size* bytes at *address* (page aligned), *data* and then zeroes, in the place of the
        first program header of the first of *kinds* there is; whether there is one."""
        old = next((h for kind in kinds for h in self._headers if h[_KIND] == kind), None)
        if old is None:
            return False
        self._raw += bytes(-len(self._raw) % PAGE)
        old[:] = [PT_LOAD, flags, len(self._raw), address, address, len(data), size, PAGE]
        self._raw += data
        return True

    def enter(self, address: int) -> None:
        """Let the program start at *address*."""
        struct.pack_into("<Q", self._raw, _ENTRY, address)

    def file(self) -> bytes:
        """The whole file, its loadable segments in ascending order."""
        slots = [index for index, header in enumerate(self._headers) if header[_KIND] == PT_LOAD]
        loads = sorted((self._headers[index] for index in slots), key=lambda header: header[_ADDRESS])
        headers = dict(zip(slots, loads, strict=True))
        for index, header in enumerate(self._headers):
            _PHDR.pack_into(self._raw, self._at + _PHDR.size * index, *headers.get(index, header))
        return bytes(self._raw)
