"""System calls on descriptors."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from lab.machine.linux.descriptors import (
    O_ACCMODE,
    O_APPEND,
    O_WRONLY,
    Open,
    OpenNode,
    Pipe,
    PipeEnd,
)
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.table import syscall
from lab.machine.linux.trace import shown
from lab.machine.linux.tree import FILE, FOLDER, LINK, Node

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = 0x100, 0x1000
O_CREAT, O_EXCL, O_TRUNC, O_CLOEXEC, O_NONBLOCK = 0o100, 0o200, 0o1000, 0o2000000, 0o4000
O_DIRECTORY = {"aarch64": 0o40000, "x86_64": 0o200000}
O_NOFOLLOW = {"aarch64": 0o100000, "x86_64": 0o400000}
O_TMPFILE = 0o20000000
MOST = 16 << 20
"""Bytes one call transfers at most."""
SIGPIPE = 13


def start_folder(k: Kernel, descriptor: int, path: bytes) -> Node:
    """The folder a path of an ``...at`` call starts from.  Refusal EBADF or ENOTDIR."""
    if path.startswith(b"/"):
        return k.files.root
    if descriptor == AT_FDCWD:
        return k.files.folder
    file = k.descriptors.file(descriptor)
    if not isinstance(file, OpenNode) or file.node.kind != FOLDER:
        raise Refusal(errno.ENOTDIR)
    return file.node


@syscall("int path flags flags")
def openat(k: Kernel, descriptor: int, path: bytes, flags: int, mode: int) -> int:
    """openat(2)."""
    if flags & O_TMPFILE:
        raise Refusal(errno.EOPNOTSUPP)
    no_follow, folders = flags & O_NOFOLLOW[k.arch.name], flags & O_DIRECTORY[k.arch.name]
    exclusive = flags & O_CREAT and flags & O_EXCL
    place = k.files.place(start_folder(k, descriptor, path), path, follow=not (no_follow or exclusive))
    node = place.node
    writes = flags & O_ACCMODE != 0
    if node is None:
        if not flags & O_CREAT:
            raise Refusal(errno.ENOENT)
        if place.slash:
            raise Refusal(errno.EISDIR)
        node = k.files.create(place, FILE, mode & 0o7777 & ~k.umask)
    elif exclusive:
        raise Refusal(errno.EEXIST)
    elif node.kind == LINK:
        raise Refusal(errno.ELOOP)
    elif folders and node.kind != FOLDER:
        raise Refusal(errno.ENOTDIR)
    elif node.kind == FOLDER and (writes or flags & O_CREAT):
        raise Refusal(errno.EISDIR)
    elif flags & O_TRUNC and node.kind == FILE and writes:
        k.files.resize(node, 0)
    return k.descriptors.add(OpenNode(k.files, node, flags), close_on_exec=bool(flags & O_CLOEXEC))


@syscall("int")
def close(k: Kernel, descriptor: int) -> int:
    """close(2)."""
    k.descriptors.close(descriptor)
    return 0


@syscall("flags flags flags")
def close_range(k: Kernel, first: int, last: int, flags: int) -> int:
    """close_range(2)."""
    if first > last or flags & ~4:
        raise Refusal(errno.EINVAL)
    for number in k.descriptors.open_numbers():
        if first <= number <= last:
            if flags & 4:  # CLOSE_RANGE_CLOEXEC
                k.descriptors.slot(number).close_on_exec = True
            else:
                k.descriptors.close(number)
    return 0


def _room(k: Kernel, address: int, size: int) -> int:
    """How much can be read into the guest's buffer.  Refusal EFAULT where it is all bad."""
    room = k.user.room(address, min(size, MOST))
    if size and not room:
        raise Refusal(errno.EFAULT)
    return room


def _write(k: Kernel, file: Open, data: bytes) -> int:
    k.remark = shown(data)
    try:
        return file.write(data)
    except Refusal as refusal:
        if refusal.number == errno.EPIPE:
            k.signals.send(SIGPIPE)
        raise


@syscall("int at size")
def read(k: Kernel, descriptor: int, address: int, size: int) -> int:
    """read(2)."""
    file = k.descriptors.file(descriptor)
    data = file.read(_room(k, address, size))
    k.user.write(address, data)
    return len(data)


@syscall("int at size")
def write(k: Kernel, descriptor: int, address: int, size: int) -> int:
    """write(2)."""
    file = k.descriptors.file(descriptor)
    return _write(k, file, k.user.read(address, min(size, MOST)))


@syscall("int at int")
def readv(k: Kernel, descriptor: int, address: int, count: int) -> int:
    """readv(2): as far as the first short read."""
    file, done = k.descriptors.file(descriptor), 0
    for start, size in k.user.vectors(address, count):
        try:
            data = file.read(_room(k, start, size))
        except Refusal:
            if done:
                break
            raise
        k.user.write(start, data)
        done += len(data)
        if len(data) < size:
            break
    return done


@syscall("int at int")
def writev(k: Kernel, descriptor: int, address: int, count: int) -> int:
    """writev(2)."""
    file, data, left = k.descriptors.file(descriptor), bytearray(), MOST
    for start, size in k.user.vectors(address, count):
        data += k.user.read(start, min(size, left))
        left = MOST - len(data)
    return _write(k, file, bytes(data))


@syscall("int at size long")
def pread64(k: Kernel, descriptor: int, address: int, size: int, offset: int) -> int:
    """pread(2)."""
    file = k.descriptors.node(descriptor)
    if offset < 0:
        raise Refusal(errno.EINVAL)
    data = file.read_at(offset, _room(k, address, size))
    k.user.write(address, data)
    return len(data)


@syscall("int at size long")
def pwrite64(k: Kernel, descriptor: int, address: int, size: int, offset: int) -> int:
    """pwrite(2)."""
    file = k.descriptors.node(descriptor)
    if offset < 0:
        raise Refusal(errno.EINVAL)
    data = k.user.read(address, min(size, MOST))
    k.remark = shown(data)
    return file.write_at(offset, data)


@syscall("int int at size")
def sendfile(k: Kernel, out: int, source: int, at: int, size: int) -> int:
    """sendfile(2)."""
    target, file = k.descriptors.file(out), k.descriptors.node(source)
    offset = k.user.unpack("q", at)[0] if at else file.offset
    if offset < 0:
        raise Refusal(errno.EINVAL)
    done = _write(k, target, file.read_at(offset, min(size, MOST)))
    if at:
        k.user.pack(at, "q", offset + done)
    else:
        file.offset += done
    return done


@syscall("int long int")
def lseek(k: Kernel, descriptor: int, offset: int, whence: int) -> int:
    """lseek(2)."""
    return k.descriptors.node(descriptor).seek(offset, whence)


@syscall("int long")
def ftruncate(k: Kernel, descriptor: int, size: int) -> int:
    """ftruncate(2)."""
    file = k.descriptors.file(descriptor)
    if not isinstance(file, OpenNode):
        raise Refusal(errno.EINVAL)
    file.resize(size)
    return 0


@syscall("int")
def dup(k: Kernel, descriptor: int) -> int:
    """dup(2)."""
    return k.descriptors.add(k.descriptors.file(descriptor))


@syscall("int int flags")
def dup3(k: Kernel, old: int, new: int, flags: int) -> int:
    """dup3(2)."""
    if old == new or flags & ~O_CLOEXEC:
        raise Refusal(errno.EINVAL)
    k.descriptors.put(new, k.descriptors.file(old), close_on_exec=bool(flags))
    return new


@syscall("int int long")
def fcntl(k: Kernel, descriptor: int, command: int, argument: int) -> int:
    """fcntl(2): duplicating, flags, and locks that nobody else can hold."""
    slot = k.descriptors.slot(descriptor)
    match command:
        case 0 | 1030:  # F_DUPFD, F_DUPFD_CLOEXEC
            return k.descriptors.add(slot.file, argument, close_on_exec=command == 1030)
        case 1:  # F_GETFD
            return int(slot.close_on_exec)
        case 2:  # F_SETFD
            slot.close_on_exec = bool(argument & 1)
        case 3:  # F_GETFL
            return slot.file.flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC)
        case 4:  # F_SETFL
            slot.file.flags = slot.file.flags & ~(O_APPEND | O_NONBLOCK) | argument & (O_APPEND | O_NONBLOCK)
        case 6 | 7:  # F_SETLK, F_SETLKW
            pass
        case _:
            raise Refusal(errno.EINVAL)
    return 0


@syscall("int flags at")
def ioctl(k: Kernel, descriptor: int, _request: int, _argument: int) -> int:
    """ioctl(2): there is no terminal and no device."""
    k.descriptors.file(descriptor)
    raise Refusal(errno.ENOTTY)


@syscall("at flags")
def pipe2(k: Kernel, address: int, flags: int) -> int:
    """pipe2(2)."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise Refusal(errno.EINVAL)
    pipe, close_on_exec = Pipe(bytearray()), bool(flags & O_CLOEXEC)
    reader = k.descriptors.add(PipeEnd(pipe, 0), close_on_exec=close_on_exec)
    try:
        writer = k.descriptors.add(PipeEnd(pipe, O_WRONLY), close_on_exec=close_on_exec)
    except Refusal:
        k.descriptors.close(reader)
        raise
    try:
        k.user.pack(address, "ii", reader, writer)
    except Refusal:
        k.descriptors.close(reader)
        k.descriptors.close(writer)
        raise
    return 0


@syscall("int", "fsync", "fdatasync")
def synced(k: Kernel, descriptor: int) -> int:
    """fsync(2): there is no disk."""
    k.descriptors.file(descriptor)
    return 0
