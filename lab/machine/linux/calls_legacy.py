"""x86-64's older forms of calls: each is a newer one with an argument fixed (AArch64 has only the newer ones)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.machine.linux.calls_files import AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_CREAT, O_TRUNC, dup3, openat, pipe2
from lab.machine.linux.calls_folders import (
    AT_REMOVEDIR,
    access,
    fchmodat,
    fchownat,
    linkat,
    mkdirat,
    readlinkat,
    renameat,
    symlinkat,
    unlinkat,
)
from lab.machine.linux.calls_status import newfstatat
from lab.machine.linux.table import syscall

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel


@syscall("path flags flags", "open")
def _open(k: Kernel, path: bytes, flags: int, mode: int) -> int:
    return openat(k, AT_FDCWD, path, flags, mode)


@syscall("path flags", "creat")
def _creat(k: Kernel, path: bytes, mode: int) -> int:
    return openat(k, AT_FDCWD, path, O_CREAT | O_TRUNC | 1, mode)


@syscall("path at", "stat")
def _stat(k: Kernel, path: bytes, address: int) -> int:
    return newfstatat(k, AT_FDCWD, path, address, 0)


@syscall("path at", "lstat")
def _lstat(k: Kernel, path: bytes, address: int) -> int:
    return newfstatat(k, AT_FDCWD, path, address, AT_SYMLINK_NOFOLLOW)


@syscall("path flags", "access")
def _access(k: Kernel, path: bytes, mode: int) -> int:
    return access(k, AT_FDCWD, path, mode)


@syscall("at", "pipe")
def _pipe(k: Kernel, address: int) -> int:
    return pipe2(k, address, 0)


@syscall("int int", "dup2")
def _dup2(k: Kernel, old: int, new: int) -> int:
    if old == new:
        k.descriptors.file(old)
        return new
    return dup3(k, old, new, 0)


@syscall("path path", "rename")
def _rename(k: Kernel, old: bytes, new: bytes) -> int:
    return renameat(k, AT_FDCWD, old, AT_FDCWD, new)


@syscall("path flags", "mkdir")
def _mkdir(k: Kernel, path: bytes, mode: int) -> int:
    return mkdirat(k, AT_FDCWD, path, mode)


@syscall("path", "rmdir")
def _rmdir(k: Kernel, path: bytes) -> int:
    return unlinkat(k, AT_FDCWD, path, AT_REMOVEDIR)


@syscall("path", "unlink")
def _unlink(k: Kernel, path: bytes) -> int:
    return unlinkat(k, AT_FDCWD, path, 0)


@syscall("path path", "link")
def _link(k: Kernel, old: bytes, new: bytes) -> int:
    return linkat(k, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall("path path", "symlink")
def _symlink(k: Kernel, target: bytes, path: bytes) -> int:
    return symlinkat(k, target, AT_FDCWD, path)


@syscall("path at int", "readlink")
def _readlink(k: Kernel, path: bytes, address: int, size: int) -> int:
    return readlinkat(k, AT_FDCWD, path, address, max(size, 0))


@syscall("path flags", "chmod")
def _chmod(k: Kernel, path: bytes, mode: int) -> int:
    return fchmodat(k, AT_FDCWD, path, mode)


@syscall("path int int", "chown")
def _chown(k: Kernel, path: bytes, user: int, group: int) -> int:
    return fchownat(k, AT_FDCWD, path, user, group, 0)


@syscall("path int int", "lchown")
def _lchown(k: Kernel, path: bytes, user: int, group: int) -> int:
    return fchownat(k, AT_FDCWD, path, user, group, AT_SYMLINK_NOFOLLOW)
