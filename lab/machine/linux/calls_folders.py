"""System calls on names."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from lab.machine.linux.calls_files import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, start_folder
from lab.machine.linux.descriptors import OpenNode
from lab.machine.linux.paths import Place
from lab.machine.linux.records import statfs_bytes
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.table import syscall
from lab.machine.linux.tree import FILE, FOLDER, LINK, Node
from lab.machine.linux.user import PATH_MAX

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel

AT_REMOVEDIR, AT_SYMLINK_FOLLOW = 0x200, 0x400
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2


def _place(k: Kernel, descriptor: int, path: bytes, *, follow: bool = False) -> Place:
    return k.files.place(start_folder(k, descriptor, path), path, follow=follow)


def _find(k: Kernel, descriptor: int, path: bytes, flags: int = 0) -> Node:
    if not path and flags & AT_EMPTY_PATH:
        return k.files.folder if descriptor == AT_FDCWD else k.descriptors.node(descriptor).node
    follow = not flags & AT_SYMLINK_NOFOLLOW
    return k.files.find(start_folder(k, descriptor, path), path, follow=follow)


@syscall("at size")
def getcwd(k: Kernel, address: int, size: int) -> int:
    """getcwd(2): the bytes written."""
    if not k.files.folder.links:
        raise Refusal(errno.ENOENT)
    path = k.files.folder.path() + b"\0"
    if len(path) > size:
        raise Refusal(errno.ERANGE)
    k.user.write(address, path)
    return len(path)


@syscall("path")
def chdir(k: Kernel, path: bytes) -> int:
    """chdir(2)."""
    return _enter(k, k.files.find(k.files.folder, path))


@syscall("int")
def fchdir(k: Kernel, descriptor: int) -> int:
    """fchdir(2)."""
    file = k.descriptors.file(descriptor)
    if not isinstance(file, OpenNode):
        raise Refusal(errno.ENOTDIR)
    return _enter(k, file.node)


def _enter(k: Kernel, node: Node) -> int:
    if node.kind != FOLDER:
        raise Refusal(errno.ENOTDIR)
    k.files.folder = node
    return 0


@syscall("int path flags")
def mkdirat(k: Kernel, descriptor: int, path: bytes, mode: int) -> int:
    """mkdirat(2)."""
    k.files.create(_place(k, descriptor, path), FOLDER, mode & 0o1777 & ~k.umask)
    return 0


@syscall("int path flags")
def unlinkat(k: Kernel, descriptor: int, path: bytes, flags: int) -> int:
    """unlinkat(2)."""
    if flags & ~AT_REMOVEDIR:
        raise Refusal(errno.EINVAL)
    k.files.remove(_place(k, descriptor, path), folder=bool(flags))
    return 0


@syscall("int path int path")
def renameat(k: Kernel, old_folder: int, old: bytes, new_folder: int, new: bytes) -> int:
    """renameat(2)."""
    k.files.rename(_place(k, old_folder, old), _place(k, new_folder, new))
    return 0


@syscall("int path int path flags")
def renameat2(k: Kernel, old_folder: int, old: bytes, new_folder: int, new: bytes, flags: int) -> int:
    """renameat2(2), with no flag but RENAME_NOREPLACE."""
    if flags & ~1:
        raise Refusal(errno.EINVAL)
    target = _place(k, new_folder, new)
    if flags and target.node is not None:
        raise Refusal(errno.EEXIST)
    k.files.rename(_place(k, old_folder, old), target)
    return 0


@syscall("int path int path flags")
def linkat(k: Kernel, old_folder: int, old: bytes, new_folder: int, new: bytes, flags: int) -> int:
    """linkat(2)."""
    node = _find(k, old_folder, old, flags & AT_EMPTY_PATH | (0 if flags & AT_SYMLINK_FOLLOW else AT_SYMLINK_NOFOLLOW))
    k.files.link(_place(k, new_folder, new), node)
    return 0


@syscall("path int path")
def symlinkat(k: Kernel, target: bytes, descriptor: int, path: bytes) -> int:
    """symlinkat(2)."""
    if not target:
        raise Refusal(errno.ENOENT)
    k.files.create(_place(k, descriptor, path), LINK, 0o777, target)
    return 0


@syscall("int path at size")
def readlinkat(k: Kernel, descriptor: int, path: bytes, address: int, size: int) -> int:
    """readlinkat(2)."""
    node = _find(k, descriptor, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
    if node.kind != LINK or not 0 < size < 1 << 31:
        raise Refusal(errno.EINVAL)
    target = bytes(node.data[: min(size, PATH_MAX)])
    k.user.write(address, target)
    return len(target)


@syscall("int path flags", "faccessat")
def access(k: Kernel, descriptor: int, path: bytes, mode: int, flags: int = 0) -> int:
    """faccessat(2) of the superuser: everything but executing what nobody may."""
    node = _find(k, descriptor, path, flags)
    if mode & ~7:
        raise Refusal(errno.EINVAL)
    if mode & 1 and node.kind != FOLDER and not node.permissions & 0o111:
        raise Refusal(errno.EACCES)
    return 0


@syscall("int path flags flags")
def faccessat2(k: Kernel, descriptor: int, path: bytes, mode: int, flags: int) -> int:
    """faccessat2(2)."""
    return access(k, descriptor, path, mode, flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))


@syscall("int path flags")
def fchmodat(k: Kernel, descriptor: int, path: bytes, mode: int) -> int:
    """fchmodat(2)."""
    _find(k, descriptor, path).permissions = mode & 0o7777
    return 0


@syscall("int flags")
def fchmod(k: Kernel, descriptor: int, mode: int) -> int:
    """fchmod(2)."""
    k.descriptors.node(descriptor).node.permissions = mode & 0o7777
    return 0


@syscall("int path int int flags")
def fchownat(k: Kernel, descriptor: int, path: bytes, _user: int, _group: int, flags: int) -> int:
    """fchownat(2): everything belongs to user 0, and stays so."""
    _find(k, descriptor, path, flags)
    return 0


@syscall("int int int")
def fchown(k: Kernel, descriptor: int, _user: int, _group: int) -> int:
    """fchown(2): the same."""
    k.descriptors.file(descriptor)
    return 0


@syscall("path long")
def truncate(k: Kernel, path: bytes, size: int) -> int:
    """truncate(2)."""
    node = k.files.find(k.files.folder, path)
    if node.kind != FILE or size < 0:
        raise Refusal(errno.EISDIR if node.kind == FOLDER else errno.EINVAL)
    k.files.resize(node, size)
    return 0


@syscall("int at at flags")
def utimensat(k: Kernel, descriptor: int, at: int, times: int, flags: int) -> int:
    """utimensat(2); the access time is not kept."""
    node = _find(k, descriptor, k.user.string(at), flags) if at else k.descriptors.node(descriptor).node
    seconds, nanoseconds = k.user.unpack("qqqq", times)[2:] if times else (0, _UTIME_NOW)
    if nanoseconds == _UTIME_NOW:
        k.files.touch(node)
    elif 0 <= nanoseconds < 10**9:
        node.mtime = seconds * 10**9 + nanoseconds
    elif nanoseconds != _UTIME_OMIT:
        raise Refusal(errno.EINVAL)
    return 0


@syscall("flags")
def umask(k: Kernel, mask: int) -> int:
    """umask(2)."""
    old, k.umask = k.umask, mask & 0o777
    return old


@syscall("path at")
def statfs(k: Kernel, path: bytes, address: int) -> int:
    """statfs(2)."""
    k.files.find(k.files.folder, path)
    k.user.write(address, statfs_bytes())
    return 0


@syscall("int at")
def fstatfs(k: Kernel, descriptor: int, address: int) -> int:
    """fstatfs(2)."""
    k.descriptors.file(descriptor)
    k.user.write(address, statfs_bytes())
    return 0
