"""Copying from and to the guest, as a kernel does: every byte checked, EFAULT where one is not the guest's to use."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator

from lab.errors import InputError
from lab.machine.linux.pages import PROT_READ, PROT_WRITE, Pages
from lab.machine.linux.refusal import Refusal
from lab.machine.memory import PAGE, GuestMemory

PATH_MAX = 4096
MOST = 64 << 20
"""Bytes one copy may have: no guest has a mapping larger than this that matters."""


class UserMemory:
    """The guest's memory to a system call."""

    def __init__(self, memory: GuestMemory, pages: Pages, write: Callable[[int, bytes], None]) -> None:
        self._memory, self._pages, self._write = memory, pages, write

    def read(self, address: int, size: int) -> bytes:
        """copy_from_user: *size* bytes.  Refusal EFAULT."""
        return b"".join(self._memory.read(start, count) for start, count in self._pieces(address, size, PROT_READ))

    def write(self, address: int, data: bytes) -> None:
        """copy_to_user: all of *data* or, with Refusal EFAULT, nothing."""
        self._check(address, len(data))
        done = 0
        for start, count in self._pieces(address, len(data), PROT_WRITE):
            try:
                self._write(start, data[done : done + count])
            except InputError:  # into the very block of code that made the call
                raise Refusal(errno.EFAULT, "into running code") from None
            done += count

    def _check(self, address: int, size: int) -> None:
        for _ in self._pieces(address, size, PROT_WRITE):
            pass

    def room(self, address: int, size: int) -> int:
        """How many bytes from *address* on, at most *size*, can be written."""
        end = address
        while end < address + size and self._pages.rights(end // PAGE * PAGE) & PROT_WRITE:
            end = (end // PAGE + 1) * PAGE
        return min(max(end - address, 0), size)

    def string(self, address: int) -> bytes:
        """strncpy_from_user of a path: up to its NUL.  Refusal EFAULT or ENAMETOOLONG."""
        found = bytearray()
        while len(found) < PATH_MAX:
            part = self.read(address, PAGE - address % PAGE)
            end = part.find(0)
            if end >= 0:
                found += part[:end]
                break
            found += part
            address += len(part)
        if len(found) >= PATH_MAX:
            raise Refusal(errno.ENAMETOOLONG)
        return bytes(found)

    def unpack(self, layout: str, address: int) -> tuple[int, ...]:
        """Little-endian integers (struct's letters)."""
        return struct.unpack(f"<{layout}", self.read(address, struct.calcsize(f"<{layout}")))

    def pack(self, address: int, layout: str, *values: int) -> None:
        """Write little-endian integers (struct's letters)."""
        self.write(address, struct.pack(f"<{layout}", *values))

    def vectors(self, address: int, count: int) -> list[tuple[int, int]]:
        """An array of struct iovec as (address, size).  Refusal EINVAL for too many or too large ones."""
        if not 0 <= count <= 1024:  # UIO_MAXIOV
            raise Refusal(errno.EINVAL)
        words = self.unpack(f"{2 * count}Q", address) if count else ()
        vectors = list(zip(words[::2], words[1::2], strict=True))
        if any(size >= 1 << 63 for _, size in vectors):
            raise Refusal(errno.EINVAL)
        return vectors

    def _pieces(self, address: int, size: int, right: int) -> Iterator[tuple[int, int]]:
        """[address, address + size) as (start, bytes), none beyond its mapping, every page having *right*."""
        if size > MOST or address + size > 1 << 64:
            raise Refusal(errno.EFAULT)
        end = address + size
        while address < end:
            mapping = self._memory.find(address)
            if mapping is None:
                raise Refusal(errno.EFAULT)
            stop = min(end, mapping.end)
            for page in range(address // PAGE * PAGE, stop, PAGE):
                if not self._pages.rights(page) & right:
                    raise Refusal(errno.EFAULT)
            yield address, stop - address
            address = stop
