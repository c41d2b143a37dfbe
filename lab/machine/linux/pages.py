"""The guest's pages as its kernel sees them: rights that changed, and the arena that brk and mmap take pages from.

All memory is mapped in the machine before the run (``lab.machine.memory``): the arena too, as one range, which the
processor cannot touch until the guest has asked for pages there.  Rights are only ever taken away from what a mapping
has as a whole, so nothing becomes executable that was not when the image was loaded.

System calls see the rights of every page.  The processor sees those of the image's pages exactly; the arena opens to it
by the ``STEP`` and never closes again, because unicorn takes milliseconds for each change of a mapping it has split.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from lab.machine.linux.refusal import Refusal
from lab.machine.memory import PAGE, GuestMemory, Mapping

ARENA = 0x7F_B000_0000
ARENA_SIZE = 64 << 20
ARENA_NAME = "arena"
STEP = 1 << 20
SHADOW_NAME = "own shadow"
SHADOW_MARGIN = 64 << 10
"""The storage of a parallel shadow stack, which a rewritten program's entry maps at a fixed place below its stack."""
_GIVEN_OUT = frozenset({ARENA_NAME, SHADOW_NAME})  # mappings of which the guest has nothing until it asks
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

Protect = Callable[[int, int, int], None]
"""(address, size, PROT_* bits): have the processor enforce it."""


def up(size: int) -> int:
    """*size* rounded up to whole pages."""
    return -(-size // PAGE) * PAGE


class Pages:
    """Which pages the guest may read, write and execute, and those of the arena that are in use."""

    def __init__(self, memory: GuestMemory, protect: Protect, write: Callable[[int, bytes], None]) -> None:
        self._memory, self._protect, self._write = memory, protect, write
        self._changed: dict[int, int] = {}
        self._used = bytearray(ARENA_SIZE // PAGE)  # 1: in use
        self._dirty = bytearray(ARENA_SIZE // PAGE)  # 1: was in use before, so perhaps not zero
        self._open: set[int] = set()
        self.heap_end = ARENA
        """What brk is: the heap grows from the arena's start, mappings from its end."""
        for mapping in memory.mappings:
            if mapping.name in _GIVEN_OUT:
                protect(mapping.start, mapping.end - mapping.start, 0)

    def rights(self, page: int) -> int:
        """PROT_* of the page that begins at *page*; 0 where nothing is mapped."""
        changed = self._changed.get(page)
        if changed is not None:
            return changed
        mapping = self._memory.find(page)
        return 0 if mapping is None or mapping.name in _GIVEN_OUT else _whole(mapping)

    # -- the arena ------------------------------------------------------------------------------------------

    def set_heap_end(self, wanted: int) -> int:
        """brk(2): the new end of the heap, or the old one where it cannot be *wanted*."""
        old, new = up(self.heap_end), up(wanted)
        if not ARENA <= wanted <= ARENA + ARENA_SIZE:
            return self.heap_end
        if new > old:
            if any(self._used[_index(old) : _index(new)]):
                return self.heap_end
            self._take(old, new - old, PROT_READ | PROT_WRITE)
        elif new < old:
            self._give_back(new, old - new)
        self.heap_end = wanted
        return wanted

    def map(self, size: int, prot: int, at: int | None = None) -> int:
        """The address of *size* bytes of zeroes: at *at* where given (in place of what is there), else as high in the
        arena as they fit.  Refusal ENOMEM."""
        size = up(size)
        if prot & PROT_EXEC:
            raise Refusal(errno.EACCES, "no memory becomes executable")
        if at is None:
            found = self._used.rfind(bytes(size // PAGE), _index(up(self.heap_end))) if size <= ARENA_SIZE else -1
            if found < 0:
                raise Refusal(errno.ENOMEM)
            at = ARENA + found * PAGE
        elif self.in_shadow(at, size):
            self._set(at, size, prot)
            self._protect(at, size, prot)
            return at
        elif not self.in_arena(at, size):
            raise Refusal(errno.ENOMEM, "mappings lie in the arena")
        self._take(at, size, prot)
        return at

    def unmap(self, address: int, size: int) -> None:
        """munmap(2); outside the arena nothing can be unmapped, and nothing is."""
        low, high = max(address, ARENA), min(address + up(size), ARENA + ARENA_SIZE)
        if low < high:
            self._give_back(low, high - low)

    def free(self, address: int, size: int) -> bool:
        """Whether all these pages lie in the arena and none is in use."""
        return self.in_arena(address, size) and not any(self._used[_index(address) : _index(address + up(size))])

    def mapped(self, address: int, size: int) -> bool:
        """Whether all these pages lie in the arena and are in use."""
        return self.in_arena(address, size) and all(self._used[_index(address) : _index(address + up(size))])

    def in_arena(self, address: int, size: int) -> bool:
        """Whether these pages lie in the arena."""
        return address >= ARENA and 0 < size <= ARENA_SIZE and address + up(size) <= ARENA + ARENA_SIZE

    def in_shadow(self, address: int, size: int) -> bool:
        """Whether these pages lie in the storage of a parallel shadow stack."""
        mapping = self._memory.find(address)
        return mapping is not None and mapping.name == SHADOW_NAME and address + up(size) <= mapping.end

    def clear(self, address: int, size: int) -> None:
        """Zero pages again (MADV_DONTNEED), in the arena."""
        if self.mapped(address, size):
            self._write(address, bytes(up(size)))

    def protect(self, address: int, size: int, prot: int) -> None:
        """mprotect(2).  Refusal ENOMEM for pages that are not mapped, EACCES for rights their mapping never had."""
        pages = range(address, address + up(size), PAGE)
        if size > 1 << 40 or not pages:
            raise Refusal(errno.ENOMEM)
        for page in pages:
            mapping = self._memory.find(page)
            if mapping is None or (mapping.name == ARENA_NAME and not self._used[_index(page)]):
                raise Refusal(errno.ENOMEM)
            if prot & ~_whole(mapping):
                raise Refusal(errno.EACCES, "rights the mapping did not have from the start")
        self._set(address, up(size), prot)
        if not self.in_arena(address, size):
            self._protect(address, up(size), prot)

    def _take(self, address: int, size: int, prot: int) -> None:
        first, last = _index(address), _index(address + size)
        if any(self._dirty[first:last]):
            self._write(address, bytes(size))
        self._used[first:last] = self._dirty[first:last] = b"\1" * (last - first)
        self._set(address, size, prot)
        for step in range(address // STEP * STEP, address + size, STEP):
            if step not in self._open:
                self._open.add(step)
                self._protect(step, STEP, PROT_READ | PROT_WRITE)

    def _give_back(self, address: int, size: int) -> None:
        first, last = _index(address), _index(address + size)
        if any(self._used[first:last]):
            self._used[first:last] = bytes(last - first)
            self._set(address, size, 0)

    def _set(self, address: int, size: int, prot: int) -> None:
        for page in range(address, address + size, PAGE):
            self._changed[page] = prot


def _index(address: int) -> int:
    return (address - ARENA) // PAGE


def _whole(mapping: Mapping) -> int:
    """The rights of a mapping as a whole, which are the most its pages can have."""
    return PROT_READ | PROT_WRITE * mapping.writable | PROT_EXEC * mapping.executable
