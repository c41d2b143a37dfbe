"""Structures that system calls fill in, as bytes.

Sources: Linux v6.1 arch/x86/include/uapi/asm/stat.h, include/uapi/asm-generic/{stat,statfs}.h (stat: AArch64),
include/uapi/linux/{stat,utsname,sysinfo}.h (stat: struct statx), include/linux/dirent.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

DEVICE = 1
"""Number of the only file system; pipes have one of their own."""
PIPE_DEVICE = 2
NULL_DEVICE = 1 << 8 | 3  # major 1, minor 3
_NS = 10**9
_STATX_BASIC = 0x7FF


@dataclass(frozen=True, slots=True)
class Status:
    """What stat tells.  ``mtime`` in nanoseconds; it stands for all times."""

    device: int
    inode: int
    mode: int
    links: int
    size: int
    mtime: int
    rdev: int = 0

    @property
    def blocks(self) -> int:
        """Of 512 bytes, in whole blocks of 4096."""
        return -(-self.size // 4096) * 8


def stat_bytes(arch: str, s: Status) -> bytes:
    """struct stat of the architecture."""
    times = (s.mtime // _NS, s.mtime % _NS) * 3
    if arch == "x86_64":
        head = (s.device, s.inode, s.links, s.mode, 0, 0, 0, s.rdev)
        return struct.pack("<QQQIIIIQqqq6q24x", *head, s.size, 4096, s.blocks, *times)
    head = (s.device, s.inode, s.mode, s.links, 0, 0, s.rdev, 0)
    return struct.pack("<QQIIIIQQqiiq6q8x", *head, s.size, 4096, 0, s.blocks, *times)


def statx_bytes(s: Status) -> bytes:
    """struct statx, with the basic fields."""
    head = (_STATX_BASIC, 4096, 0, s.links, 0, 0, s.mode, s.inode, s.size, s.blocks, 0)
    time = (s.mtime // _NS, s.mtime % _NS)
    tail = (s.rdev >> 8, s.rdev & 0xFF, 0, s.device)
    return struct.pack("<IIQIIIH2xQQQQ" + 4 * "qI4x" + "IIII112x", *head, *time, 0, 0, *time, *time, *tail)


def dirent_bytes(inode: int, offset: int, mode: int, name: bytes) -> bytes:
    """struct linux_dirent64 of one entry; *offset* is that of the next."""
    size = -(-(19 + len(name) + 1) // 8) * 8
    return struct.pack("<QqHB", inode, offset, size, mode >> 12) + name.ljust(size - 19, b"\0")


def uname_bytes(machine: str) -> bytes:
    """struct new_utsname: always the same."""
    names = ("Linux", "unwindlab", "6.1.0", "#1", machine, "(none)")
    return b"".join(name.encode().ljust(65, b"\0") for name in names)


def statfs_bytes() -> bytes:
    """struct statfs: a memory file system of fixed size."""
    counts = (65536, 32768, 32768, 65536, 32768)
    return struct.pack("<qq5Qiiqqq32x", 0x0102_1994, 4096, *counts, 0, 0, 255, 4096, 0)


def sysinfo_bytes() -> bytes:
    """struct sysinfo: always the same."""
    megabyte = 1 << 20
    return struct.pack("<q3QQQQQQQHxxxxxxQQI4x", 1, 0, 0, 0, 256 * megabyte, 128 * megabyte, 0, 0, 0, 0, 1, 0, 0, 1)
