"""The files a guest sees: a tree in memory, made from one folder of the host and never written back.

The folder is read entry by entry through descriptors that follow no symbolic link, so nothing outside it can come in;
links are kept as links and lead where the guest's own tree leads.  Sockets, pipes and devices are left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import InputError

MOST_ENTRIES = 10_000
MOST_BYTES = 64 << 20
"""A larger folder is refused: every run copies the tree, and a guest may fill it no further either."""

FOLDER, FILE, LINK, NULL = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFCHR


@dataclass(eq=False)
class Node:
    """One file.  ``kind``: S_IFDIR, S_IFREG, S_IFLNK, or S_IFCHR, which is /dev/null; ``permissions`` are mode & 07777.

    ``data``: a file's contents, or a link's target.  ``number`` is its inode, ``mtime`` in nanoseconds.
    """

    kind: int
    permissions: int
    mtime: int = 0
    number: int = 0
    data: bytes | bytearray = b""
    entries: dict[bytes, Node] = field(default_factory=dict)
    parent: Node | None = None
    links: int = 1
    hidden: bool = False
    """Found by name but not listed: the /dev that every guest has."""

    @property
    def mode(self) -> int:
        """``st_mode``."""
        return self.kind | self.permissions

    @property
    def size(self) -> int:
        """``st_size``; every folder has the size of a block."""
        return 4096 if self.kind == FOLDER else len(self.data)

    def enter(self, name: bytes, child: Node) -> Node:
        """*child* as the entry *name* of this folder."""
        self.entries[name] = child
        if child.kind == FOLDER:
            child.parent = self
        return child

    def descendants(self) -> Iterator[Node]:
        """The file itself and everything below it, parents first, entries by name."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo += [node.entries[name] for name in sorted(node.entries, reverse=True)]

    def path(self) -> bytes:
        """The absolute path of a folder that was not removed."""
        names: list[bytes] = []
        node = self
        while node.parent is not None and node.parent is not node:
            names.append(next(name for name, child in node.parent.entries.items() if child is node))
            node = node.parent
        return b"/" + b"/".join(reversed(names))


def empty_root() -> Node:
    """A root folder with nothing in it."""
    root = Node(FOLDER, 0o755)
    root.parent = root
    return root


def copied(root: Node) -> Node:
    """The tree once more, with inode numbers in its order and, where it has none, a /dev/null."""
    new = empty_root()
    new.permissions, new.mtime = root.permissions, root.mtime
    todo = [(root, new)]
    while todo:
        old, twin = todo.pop()
        for name, child in old.entries.items():
            made = twin.enter(name, Node(child.kind, child.permissions, child.mtime, data=bytes(child.data)))
            if child.kind == FOLDER:
                todo.append((child, made))
    _add_null(new)
    for number, node in enumerate(new.descendants(), start=2):
        node.number = number
    return new


def _add_null(root: Node) -> None:
    devices = root.entries.get(b"dev")
    if devices is None:
        devices = root.enter(b"dev", Node(FOLDER, 0o755, hidden=True))
    if devices.kind == FOLDER and b"null" not in devices.entries:
        devices.enter(b"null", Node(NULL, 0o666))


def snapshot(folder: Path) -> Node:
    """*folder* and all below it.  InputError where it cannot be read, or holds more than the limits of this module."""
    root = empty_root()
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{folder}: cannot be the root of a process: {error.strerror}") from None
    limits = _Limits(folder)
    _fill(root, handle, limits, depth=0)
    return root


class _Limits:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries = self._bytes = 0

    def take(self, size: int) -> None:
        self._entries += 1
        self._bytes += size
        if self._entries > MOST_ENTRIES or self._bytes > MOST_BYTES:
            most = f"{MOST_ENTRIES} files or {MOST_BYTES >> 20} MiB"
            raise InputError(f"{self._folder}: holds more than {most}; give a process a smaller root")

    def failed(self, name: str, error: OSError) -> InputError:
        return InputError(f"{self._folder}: '{name}' in it cannot be read: {error.strerror}")


def _fill(node: Node, handle: int, limits: _Limits, depth: int) -> None:
    """The entries of the host's folder *handle*, which is closed, into *node*."""
    try:
        status = os.fstat(handle)
        node.permissions, node.mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns
        for name in sorted(os.listdir(handle)):
            try:
                child = _read(name, handle, limits, depth)
            except OSError as error:
                raise limits.failed(name, error) from None
            if child is not None:
                node.enter(os.fsencode(name), child)
    finally:
        os.close(handle)


def _read(name: str, handle: int, limits: _Limits, depth: int) -> Node | None:
    status = os.lstat(name, dir_fd=handle)
    kind, mode, mtime = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_mtime_ns
    limits.take(status.st_size if kind == FILE else 0)
    if kind == LINK:
        return Node(LINK, mode, mtime, data=os.fsencode(os.readlink(name, dir_fd=handle)))
    if kind not in {FOLDER, FILE}:
        return None
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    opened = os.open(name, flags | (os.O_DIRECTORY if kind == FOLDER else 0), dir_fd=handle)
    if kind == FOLDER:
        made = Node(FOLDER, mode, mtime)
        if depth >= 64:
            os.close(opened)
            raise limits.failed(name, OSError(0, "folders are nested too deep"))
        _fill(made, opened, limits, depth + 1)
        return made
    with os.fdopen(opened, "rb") as file:
        return Node(FILE, mode, mtime, data=file.read(MOST_BYTES))
