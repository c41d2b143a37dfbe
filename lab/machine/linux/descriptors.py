"""What a descriptor can stand for: a file or folder of the tree, the standard streams, an end of a pipe."""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass

from lab.machine.linux.paths import FileSystem
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.tree import FILE, FOLDER, NULL, Node

MOST = 1024
"""Descriptors of one process (RLIMIT_NOFILE)."""
OUTPUT_LIMIT = 1 << 20
"""Bytes of standard output and error together; a write beyond them fails with ENOSPC."""
PIPE_SIZE = 64 << 10
O_ACCMODE, O_WRONLY, O_RDWR, O_APPEND = 3, 1, 2, 0o2000


class Open:
    """An open file description (open(2)): shared by all descriptors duplicated from one another."""

    mode = stat.S_IFIFO | 0o600
    seekable = False

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.uses = 0

    @property
    def readable(self) -> bool:
        """Whether it is open for reading."""
        return self.flags & O_ACCMODE != O_WRONLY

    @property
    def writable(self) -> bool:
        """Whether it is open for writing."""
        return self.flags & O_ACCMODE in {O_WRONLY, O_RDWR}

    def read(self, size: int) -> bytes:
        """Up to *size* bytes; none at the end."""
        raise Refusal(errno.EBADF)

    def write(self, data: bytes) -> int:
        """How many bytes of *data* were taken."""
        raise Refusal(errno.EBADF)

    def closed(self) -> None:
        """The last descriptor of it is gone."""


class Stdin(Open):
    """Standard input: a pipe that gives fixed bytes and then ends."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        found = self._data[self._at : self._at + size]
        self._at += len(found)
        return found


class Sink:
    """What the guest wrote, in the order in which it did."""

    def __init__(self) -> None:
        self.data = bytearray()


class Output(Open):
    """Standard output and standard error: one pipe into a bounded buffer."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(O_WRONLY)
        self._sink = sink

    def write(self, data: bytes) -> int:
        """All of it, or Refusal ENOSPC."""
        if len(self._sink.data) + len(data) > OUTPUT_LIMIT:
            raise Refusal(errno.ENOSPC, f"output is bounded at {OUTPUT_LIMIT} bytes")
        self._sink.data += data
        return len(data)


class OpenNode(Open):
    """A file, a folder or /dev/null of the tree."""

    def __init__(self, files: FileSystem, node: Node, flags: int) -> None:
        super().__init__(flags)
        self.files, self.node, self.offset = files, node, 0
        self.listing: list[tuple[bytes, Node]] | None = None
        self.seekable = True

    def read(self, size: int) -> bytes:
        """From the offset on."""
        found = self.read_at(self.offset, size)
        self.offset += len(found)
        return found

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes at *offset*."""
        if not self.readable:
            raise Refusal(errno.EBADF)
        if self.node.kind == FOLDER:
            raise Refusal(errno.EISDIR)
        return bytes(self.node.data[offset : offset + size])

    def write(self, data: bytes) -> int:
        """At the offset, or at the end with O_APPEND."""
        if self.flags & O_APPEND:
            self.offset = self.node.size
        done = self.write_at(self.offset, data)
        self.offset += done
        return done

    def write_at(self, offset: int, data: bytes) -> int:
        """All of *data* at *offset*."""
        if not self.writable:
            raise Refusal(errno.EBADF)
        if self.node.kind != NULL and data:
            self.files.write(self.node, offset, data)
        return len(data)

    def seek(self, offset: int, whence: int) -> int:
        """lseek(2): the new offset."""
        if self.node.kind == NULL:
            return 0
        base = {0: 0, 1: self.offset, 2: len(self.node.data)}.get(whence)
        if base is None or not 0 <= base + offset < 1 << 63:
            raise Refusal(errno.EINVAL)
        self.offset, self.listing = base + offset, None
        return self.offset

    def resize(self, size: int) -> None:
        """ftruncate(2)."""
        if not self.writable or self.node.kind != FILE or size < 0:
            raise Refusal(errno.EINVAL)
        self.files.resize(self.node, size)


@dataclass(eq=False)
class Pipe:
    """What is in a pipe, and whether its ends are open."""

    data: bytearray
    readers: bool = True
    writers: bool = True


class PipeEnd(Open):
    """One end of a pipe.  Where Linux would wait for the other end, which only this process could serve: EAGAIN."""

    def __init__(self, pipe: Pipe, flags: int) -> None:
        super().__init__(flags)
        self.pipe = pipe

    def read(self, size: int) -> bytes:
        """What is in it."""
        if not self.readable:
            raise Refusal(errno.EBADF)
        if not self.pipe.data and self.pipe.writers and size:
            raise Refusal(errno.EAGAIN, "would wait for ever")
        found = bytes(self.pipe.data[:size])
        del self.pipe.data[:size]
        return found

    def write(self, data: bytes) -> int:
        """As much as there is room for."""
        if not self.writable:
            raise Refusal(errno.EBADF)
        if not self.pipe.readers:
            raise Refusal(errno.EPIPE)
        room = PIPE_SIZE - len(self.pipe.data)
        if data and not room:
            raise Refusal(errno.EAGAIN, "would wait for ever")
        self.pipe.data += data[:room]
        return min(room, len(data))

    def closed(self) -> None:
        """The other end will see it."""
        if self.readable:
            self.pipe.readers = False
        else:
            self.pipe.writers = False


@dataclass(eq=False)
class Slot:
    """A descriptor: what it stands for, and FD_CLOEXEC."""

    file: Open
    close_on_exec: bool = False


class Descriptors:
    """The descriptors of the process."""

    def __init__(self, stdin: Open, output: Open) -> None:
        self._slots: dict[int, Slot] = {}
        for number, file in enumerate((stdin, output, output)):
            self.put(number, file)

    def slot(self, number: int) -> Slot:
        """Refusal EBADF where it is not open."""
        found = self._slots.get(number)
        if found is None:
            raise Refusal(errno.EBADF)
        return found

    def file(self, number: int) -> Open:
        """What *number* stands for.  Refusal EBADF."""
        return self.slot(number).file

    def node(self, number: int) -> OpenNode:
        """The same, where it must be of the tree.  Refusal EBADF, or ESPIPE for a stream."""
        found = self.file(number)
        if not isinstance(found, OpenNode):
            raise Refusal(errno.ESPIPE)
        return found

    def add(self, file: Open, lowest: int = 0, *, close_on_exec: bool = False) -> int:
        """The lowest free number from *lowest* on, for *file*.  Refusal EMFILE."""
        if not 0 <= lowest < MOST:
            raise Refusal(errno.EINVAL)
        number = next((n for n in range(lowest, MOST) if n not in self._slots), None)
        if number is None:
            raise Refusal(errno.EMFILE)
        self.put(number, file, close_on_exec=close_on_exec)
        return number

    def put(self, number: int, file: Open, *, close_on_exec: bool = False) -> None:
        """*number* for *file*, closing what it stood for.  Refusal EBADF for a number that is too large."""
        if not 0 <= number < MOST:
            raise Refusal(errno.EBADF)
        file.uses += 1
        if number in self._slots:
            self.close(number)
        self._slots[number] = Slot(file, close_on_exec)

    def close(self, number: int) -> None:
        """Refusal EBADF where it is not open."""
        file = self.slot(number).file
        del self._slots[number]
        file.uses -= 1
        if not file.uses:
            file.closed()

    def open_numbers(self) -> list[int]:
        """All that are open."""
        return sorted(self._slots)
