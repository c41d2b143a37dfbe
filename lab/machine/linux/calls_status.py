"""System calls that tell about files and list folders."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from lab.machine.linux.calls_files import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, start_folder
from lab.machine.linux.descriptors import Open, OpenNode
from lab.machine.linux.records import DEVICE, NULL_DEVICE, PIPE_DEVICE, Status, dirent_bytes, stat_bytes, statx_bytes
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.table import syscall
from lab.machine.linux.tree import FOLDER, NULL, Node

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel


def status_of_node(node: Node) -> Status:
    """What stat tells of a file of the tree."""
    subfolders = sum(child.kind == FOLDER and not child.hidden for child in node.entries.values())
    links = 2 + subfolders if node.kind == FOLDER else node.links
    rdev = NULL_DEVICE if node.kind == NULL else 0
    return Status(DEVICE, node.number, node.mode, links, node.size, node.mtime, rdev)


def status_of(file: Open) -> Status:
    """What fstat tells of an open file."""
    if isinstance(file, OpenNode):
        return status_of_node(file.node)
    return Status(PIPE_DEVICE, 1, file.mode, 1, 0, 0)


@syscall("int at")
def fstat(k: Kernel, descriptor: int, address: int) -> int:
    """fstat(2)."""
    k.user.write(address, stat_bytes(k.arch.name, status_of(k.descriptors.file(descriptor))))
    return 0


def _status_at(k: Kernel, descriptor: int, path: bytes, flags: int) -> Status:
    if not path and flags & AT_EMPTY_PATH:
        if descriptor == AT_FDCWD:
            return status_of_node(k.files.folder)
        return status_of(k.descriptors.file(descriptor))
    follow = not flags & AT_SYMLINK_NOFOLLOW
    return status_of_node(k.files.find(start_folder(k, descriptor, path), path, follow=follow))


@syscall("int path at flags")
def newfstatat(k: Kernel, descriptor: int, path: bytes, address: int, flags: int) -> int:
    """fstatat(2)."""
    k.user.write(address, stat_bytes(k.arch.name, _status_at(k, descriptor, path, flags)))
    return 0


@syscall("int path flags flags at")
def statx(k: Kernel, descriptor: int, path: bytes, flags: int, _mask: int, address: int) -> int:
    """statx(2)."""
    k.user.write(address, statx_bytes(_status_at(k, descriptor, path, flags)))
    return 0


@syscall("int at size")
def getdents64(k: Kernel, descriptor: int, address: int, size: int) -> int:
    """getdents64(2): entries by name, after . and .. ."""
    file = k.descriptors.file(descriptor)
    if not isinstance(file, OpenNode) or file.node.kind != FOLDER:
        raise Refusal(errno.ENOTDIR)
    node = file.node
    if file.listing is None:
        entries = sorted((name, child) for name, child in node.entries.items() if not child.hidden)
        file.listing = [(b".", node), (b"..", node.parent or node), *entries]
    found, position = bytearray(), file.offset
    while position < len(file.listing):
        name, child = file.listing[position]
        entry = dirent_bytes(child.number, position + 1, child.mode, name)
        if len(found) + len(entry) > size:
            break
        found += entry
        position += 1
    if not found and position < len(file.listing):
        raise Refusal(errno.EINVAL)
    k.user.write(address, bytes(found))
    file.offset = position
    return len(found)
