"""Names to files, in the guest's own tree: no name leads out of it, because there is nothing outside it.

``..`` of the root is the root, and an absolute link starts at the root (path_resolution(7)).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from lab.machine.linux.clock import Clock
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.tree import FOLDER, LINK, MOST_BYTES, MOST_ENTRIES, Node

MOST_LINKS = 40
NAME_MAX = 255
FILE_LIMIT = 16 << 20
"""Bytes one file may grow to."""


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a folder, whether there is a file of that name (``node``) or not.  ``name`` is b"." for the folder."""

    folder: Node
    name: bytes
    node: Node | None
    slash: bool = False
    """The path ended in a slash: only a folder will do."""


class FileSystem:
    """The guest's files, its working folder, and how much of them there may be."""

    def __init__(self, root: Node, clock: Clock) -> None:
        self.root = self.folder = root
        self.clock = clock
        self._count = self._number = self._bytes = 0
        for node in root.descendants():
            self._count += 1
            self._number = max(self._number, node.number)
            self._bytes += len(node.data)

    def place(self, start: Node, path: bytes, *, follow: bool = True) -> Place:
        """Where *path* leads from the folder *start*; its last name need not exist.

        A link in the last place is followed if *follow*, or if a slash comes after it.  Refusal ENOENT, ENOTDIR, ELOOP
        or ENAMETOOLONG.
        """
        if not path:
            raise Refusal(errno.ENOENT)
        links = 0
        current = self.root if path.startswith(b"/") else start
        todo = _parts(path)
        slash = path.endswith((b"/", b"/."))
        while todo:
            name = todo.pop()
            if current.kind != FOLDER:
                raise Refusal(errno.ENOTDIR)
            if name == b"..":
                current = current.parent or self.root
                continue
            if len(name) > NAME_MAX:
                raise Refusal(errno.ENAMETOOLONG)
            child = current.entries.get(name)
            if child is not None and child.kind == LINK and (todo or follow or slash):
                links += 1
                if links > MOST_LINKS:
                    raise Refusal(errno.ELOOP)
                target = bytes(child.data)
                if not target:
                    raise Refusal(errno.ENOENT)
                todo += _parts(target)
                current = self.root if target.startswith(b"/") else current
            elif not todo:
                return self._last(current, name, child, slash=slash)
            elif child is None:
                raise Refusal(errno.ENOENT)
            else:
                current = child
        if current.kind != FOLDER:
            raise Refusal(errno.ENOTDIR)
        return Place(current, b".", current, slash=True)

    def _last(self, folder: Node, name: bytes, child: Node | None, *, slash: bool) -> Place:
        if slash and child is not None and child.kind != FOLDER:
            raise Refusal(errno.ENOTDIR)
        if child is not None and child.kind == FOLDER:
            return Place(child.parent or self.root, name, child, slash)
        return Place(folder, name, child, slash)

    def find(self, start: Node, path: bytes, *, follow: bool = True) -> Node:
        """The file *path* leads to.  Refusal ENOENT and what ``place`` says."""
        node = self.place(start, path, follow=follow).node
        if node is None:
            raise Refusal(errno.ENOENT)
        return node

    def create(self, place: Place, kind: int, permissions: int, data: bytes = b"") -> Node:
        """A new file at *place*.  Refusal EEXIST, ENOENT for a file whose path ends in a slash, or ENOSPC."""
        if place.node is not None:
            raise Refusal(errno.EEXIST)
        if place.slash and kind != FOLDER:
            raise Refusal(errno.ENOENT)
        if self._count >= MOST_ENTRIES:
            raise Refusal(errno.ENOSPC)
        if not place.folder.links:  # removed, while somebody was in it
            raise Refusal(errno.ENOENT)
        self._count += 1
        self._number += 1
        node = Node(kind, permissions, self.clock.now, self._number, data)
        self.touch(place.folder)
        return place.folder.enter(place.name, node)

    def link(self, place: Place, node: Node) -> None:
        """One more name for *node*."""
        if place.node is not None:
            raise Refusal(errno.EEXIST)
        if node.kind == FOLDER:
            raise Refusal(errno.EPERM)
        if self._count >= MOST_ENTRIES or place.slash:
            raise Refusal(errno.ENOSPC if not place.slash else errno.ENOENT)
        self._count += 1
        node.links += 1
        place.folder.enter(place.name, node)
        self.touch(place.folder)

    def remove(self, place: Place, *, folder: bool) -> None:
        """unlink(2), or rmdir(2) if *folder*."""
        node = place.node
        if node is None:
            raise Refusal(errno.ENOENT)
        if node is self.root or place.name in {b".", b".."}:
            raise Refusal(errno.EBUSY if node is self.root else errno.EINVAL)
        if folder != (node.kind == FOLDER):
            raise Refusal(errno.ENOTDIR if folder else errno.EISDIR)
        if folder and node.entries:
            raise Refusal(errno.ENOTEMPTY)
        self._drop(place, node)

    def rename(self, old: Place, new: Place) -> None:
        """Give a file another name (rename(2))."""
        node, target = old.node, new.node
        if node is None:
            raise Refusal(errno.ENOENT)
        if b"." in {old.name, new.name} or self.root in {node, target}:
            raise Refusal(errno.EBUSY)
        if node.kind != FOLDER and new.slash:
            raise Refusal(errno.ENOTDIR)
        if node.kind == FOLDER and self._inside(new.folder, node):
            raise Refusal(errno.EINVAL)
        if target is node:
            return
        if target is not None:
            self.remove(new, folder=node.kind == FOLDER)
        del old.folder.entries[old.name]
        new.folder.enter(new.name, node)
        self.touch(old.folder)
        self.touch(new.folder)

    def resize(self, node: Node, size: int) -> None:
        """Set a file's length.  Refusal EFBIG or ENOSPC."""
        if size > FILE_LIMIT:
            raise Refusal(errno.EFBIG)
        grown = size - len(node.data)
        if self._bytes + grown > 2 * MOST_BYTES:
            raise Refusal(errno.ENOSPC)
        if not isinstance(node.data, bytearray):
            node.data = bytearray(node.data)
        if grown > 0:
            node.data += bytes(grown)
        else:
            del node.data[size:]
        self._bytes += grown
        self.touch(node)

    def write(self, node: Node, offset: int, data: bytes) -> None:
        """Write *data* into a file, which grows as it must."""
        self.resize(node, max(len(node.data), offset + len(data)))
        assert isinstance(node.data, bytearray)
        node.data[offset : offset + len(data)] = data

    def touch(self, node: Node) -> None:
        """The file has changed now."""
        node.mtime = self.clock.now

    def _drop(self, place: Place, node: Node) -> None:
        del place.folder.entries[place.name]
        node.links -= 1
        self._count -= 1  # but not its bytes: a descriptor may still hold them
        self.touch(place.folder)

    def _inside(self, folder: Node, outer: Node) -> bool:
        while folder is not outer:
            if folder.parent in {None, folder}:
                return False
            folder = folder.parent or folder
        return True


def _parts(path: bytes) -> list[bytes]:
    """The names of a path, the last first."""
    return [name for name in reversed(path.split(b"/")) if name not in {b"", b"."}]
