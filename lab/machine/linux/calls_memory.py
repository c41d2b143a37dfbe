"""System calls that take and give back memory, all of it from the arena."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from lab.machine.linux.descriptors import OpenNode
from lab.machine.linux.pages import PROT_EXEC, PROT_READ, PROT_WRITE, up
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.table import syscall
from lab.machine.linux.tree import FILE
from lab.machine.memory import PAGE

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel

MAP_SHARED, MAP_PRIVATE, MAP_TYPE, MAP_FIXED, MAP_ANONYMOUS = 1, 2, 15, 0x10, 0x20
MAP_FIXED_NOREPLACE = 0x100000
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
MADV_DONTNEED = 4
_ALL = PROT_READ | PROT_WRITE | PROT_EXEC


@syscall("at")
def brk(k: Kernel, wanted: int) -> int:
    """brk(2), the system call: the end of the heap."""
    return k.pages.set_heap_end(wanted)


@syscall("at size flags flags int size")
def mmap(k: Kernel, address: int, size: int, prot: int, flags: int, descriptor: int, offset: int) -> int:
    """mmap(2): anonymous memory, and private copies of files; an address is a wish that only MAP_FIXED grants."""
    if not 0 < size < 1 << 47 or prot & ~_ALL or (address % PAGE and flags & MAP_FIXED) or offset % PAGE:
        raise Refusal(errno.EINVAL if size < 1 << 47 else errno.ENOMEM)
    if flags & MAP_TYPE not in {MAP_SHARED, MAP_PRIVATE}:
        raise Refusal(errno.EINVAL)
    contents = b""
    if not flags & MAP_ANONYMOUS:
        contents = _file(k, descriptor, prot, flags, offset, size)
    at = None
    if flags & MAP_FIXED_NOREPLACE:
        at = address
        if k.pages.in_arena(address, size) and not k.pages.free(address, size):
            raise Refusal(errno.EEXIST)
        k.silent = k.pages.in_shadow(address, size)
    elif flags & MAP_FIXED:
        at = address
    found = k.pages.map(size, prot, at)
    if contents:
        k.fill(found, contents)
    return found


def _file(k: Kernel, descriptor: int, prot: int, flags: int, offset: int, size: int) -> bytes:
    """The file's part as it is now, which is what a private mapping promises."""
    file = k.descriptors.file(descriptor)
    if not isinstance(file, OpenNode) or file.node.kind != FILE:
        raise Refusal(errno.ENODEV)
    if not file.readable:
        raise Refusal(errno.EACCES)
    if flags & MAP_TYPE == MAP_SHARED and prot & PROT_WRITE:
        raise Refusal(errno.ENODEV, "no shared mappings of files")
    return bytes(file.node.data[offset : offset + size])


@syscall("at size")
def munmap(k: Kernel, address: int, size: int) -> int:
    """munmap(2)."""
    _aligned(address, size)
    k.pages.unmap(address, size)
    return 0


def _aligned(address: int, size: int) -> None:
    if address % PAGE or not 0 < size < 1 << 47:
        raise Refusal(errno.EINVAL)


@syscall("at size flags")
def mprotect(k: Kernel, address: int, size: int, prot: int) -> int:
    """mprotect(2)."""
    if address % PAGE or prot & ~_ALL:
        raise Refusal(errno.EINVAL)
    if size:
        k.pages.protect(address, size, prot)
    return 0


@syscall("at size size flags at")
def mremap(k: Kernel, address: int, old: int, new: int, flags: int, _wanted: int) -> int:
    """mremap(2) within the arena, without MREMAP_FIXED."""
    _aligned(address, new)
    if flags & ~MREMAP_MAYMOVE:
        raise Refusal(errno.EINVAL, "no MREMAP_FIXED" if flags & MREMAP_FIXED else "")
    old, new = up(old), up(new)
    if not k.pages.mapped(address, old):
        raise Refusal(errno.EFAULT)
    if new <= old:
        if new < old:
            k.pages.unmap(address + new, old - new)
        return address
    rights = k.pages.rights(address)
    if k.pages.free(address + old, new - old):
        k.pages.map(new - old, rights, address + old)
        return address
    if not flags & MREMAP_MAYMOVE:
        raise Refusal(errno.ENOMEM)
    found = k.pages.map(new, rights)
    k.fill(found, k.contents(address, old))
    k.pages.unmap(address, old)
    return found


@syscall("at size int")
def madvise(k: Kernel, address: int, size: int, advice: int) -> int:
    """madvise(2): MADV_DONTNEED clears pages, all other advice is heard and forgotten."""
    if address % PAGE:
        raise Refusal(errno.EINVAL)
    if advice == MADV_DONTNEED:
        k.pages.clear(address, size)
    return 0
