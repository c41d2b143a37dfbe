"""One new .eh_frame for the whole rewritten image, its .eh_frame_hdr, and the exception tables of new code.

Sources: LSB Core 5.0 sections 10.6 (.eh_frame, .eh_frame_hdr); the header has the encodings that libgcc searches
fastest (unwind-dw2-fde-dip.c, find_fde_tail): data-relative 4-byte pairs sorted by address.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lab.errors import InputError, RefusedError
from lab.images.image import Image
from lab.metadata.cfi import Cie, Fde, Frames
from lab.metadata.cfi_reader import OMIT
from rewriters.unwind.copy import copy_cie, copy_fde, refuse
from rewriters.unwind.encode import instructions, number, pointer, uleb
from rewriters.unwind.lsda import encode_lsda
from rewriters.unwind.source import read_frames, read_lsda
from rewriters.unwind.spans import Edits, Group, Places, States, groups

ALIGN = 8
_TERMINATOR = bytes(4)
_HEADER = bytes([1, 0x1B, 0x03, 0x3B])  # version 1; pcrel sdata4, udata4, datarel sdata4
_PAIR = struct.Struct("<ii")


@dataclass(frozen=True)
class UnwindTables:
    """``data`` is to stand at the address it was built for.  In it, as (address, size): ``eh_frame``, ``header``
    (None without one), ``tables`` (exception tables of new code; size 0 without any).  ``entries``: old entry of
    .eh_frame -> where it, or the first kept one behind it, stands now (for code that registers its frames), and the
    old end -> the new one."""

    data: bytes
    eh_frame: tuple[int, int]
    header: tuple[int, int] | None
    tables: tuple[int, int]
    entries: dict[int, int]


def build(
    image: Image, edits: Edits, address: int, *, header: bool, frames: Frames | None = None
) -> UnwindTables | None:
    """Unwind information for *image* after *edits*, to stand at *address* (a multiple of 8); None if the image has
    none.  *header*: with a .eh_frame_hdr.  Its length does not depend on any address, but *address* and all code must
    be within 2 GiB.  *frames*: what read_frames(image) gave, if it was called already (it remembers states).

    RefusedError, naming the function by address, for what cannot be described; InputError for a damaged image."""
    old = frames or read_frames(image)
    if old is None:
        return None
    refuse(old, image.position_independent)
    return _Builder(image, old, edits).build(address, header=header)


class _Builder:
    """The parts of one build."""

    def __init__(self, image: Image, old: Frames, edits: Edits) -> None:
        self.image, self.old = image, old
        self.groups = groups(old, edits.spans)
        self.places = Places(edits)
        self.states = States(old, image.arch)
        self.out = bytearray()
        self.found: list[tuple[int, int]] = []  # (start of code, address of its FDE)
        self.cies: dict[int, int] = {}
        self.entries: dict[int, int] = {}

    def build(self, address: int, *, header: bool) -> UnwindTables:
        """Everything at *address*: header, .eh_frame, exception tables."""
        if address % ALIGN:
            raise InputError(f"{self.old.where}: unwind information cannot stand at {address:#x}; align it to {ALIGN}")
        kept = [fde for fde in self.old.fdes if not self.gone(fde)]
        count = sum(fde.size > 0 for fde in kept) + len(self.groups)
        size = 12 + 8 * count if header else 0
        self.start = address + -(-size // ALIGN) * ALIGN
        self.copy()
        programs = [self.program(group) for group in self.groups]
        self.tables = self.start + len(self.out) + sum(len(head) for head in programs) + len(_TERMINATOR)
        self.tables += -self.tables % ALIGN
        blobs = bytearray()
        for group, program in zip(self.groups, programs, strict=True):
            blobs += self.add(group, program, self.tables + len(blobs))
        self.entries[self.old.address + self.old.end] = self.start + len(self.out)
        self.out += _TERMINATOR
        end = self.start + len(self.out)
        data = self.header(address, size) if header else b""
        data = data.ljust(self.start - address, b"\0") + bytes(self.out) + bytes(self.tables - end) + bytes(blobs)
        place = (address, size) if header else None
        return UnwindTables(data, (self.start, len(self.out)), place, (self.tables, len(blobs)), self.entries)

    def gone(self, fde: Fde) -> bool:
        """The code of *fde* is dead."""
        return fde.size > 0 and self.places.dead(fde.start, fde.end)

    def copy(self) -> None:
        """Every old entry that is kept, in the old order."""
        entries: list[Cie | Fde] = [*self.old.cies, *self.old.fdes, *self.old.dropped]
        for entry in sorted(entries, key=lambda entry: entry.offset):
            place = self.start + len(self.out)
            self.entries[self.old.address + entry.offset] = place
            if isinstance(entry, Cie):
                self.cies[entry.offset] = place
                self.out += copy_cie(self.old, entry, place)
            elif not self.gone(entry):
                self.out += copy_fde(self.old, entry, place, self.cies[entry.cie.offset])
                if entry.size and entry.start:
                    self.found.append((entry.start, place))

    def program(self, group: Group) -> bytes:
        """The new FDE of *group* from its augmentation's length on, the pointer to its exception table null."""
        cie = group.fde.cie
        rows = self.states.rows(group)
        code = instructions(cie, rows, group.start, self.name(group))
        room = b""
        if cie.has_data:
            room = number(0, cie.lsda_encoding, self.name(group)) if cie.lsda_encoding != OMIT else b""
            room = uleb(len(room)) + room
        head = 8 + 2 * len(number(0, cie.encoding, self.name(group)))
        body = room + code
        return bytes(head) + body + bytes(-(head + len(body)) % ALIGN)

    def add(self, group: Group, entry: bytes, table: int) -> bytes:
        """Append the FDE of *group*; its exception table, to stand at *table*."""
        cie, what, place = group.fde.cie, self.name(group), self.start + len(self.out)
        done = bytearray(entry)
        done[0:8] = struct.pack("<II", len(entry) - 4, place + 4 - self.cies[cie.offset])
        start = pointer(group.start, cie.encoding, place + 8, what)
        size = number(group.end - group.start, cie.encoding, what)
        after = 8 + len(start) + len(size)
        done[8:after] = start + size
        blob = b""
        if group.fde.lsda:
            blob = encode_lsda(read_lsda(self.image, group.fde), group, self.places, table, what)
            inside = after + 1
            field = pointer(table, cie.lsda_encoding, place + inside, what)
            done[inside : inside + len(field)] = field
        self.out += done
        self.found.append((group.start, place))
        return blob

    def name(self, group: Group) -> str:
        """What an error about *group* is about."""
        return f"{self.old.where}: unwind information of the function at {group.fde.start:#x}"

    def header(self, address: int, size: int) -> bytes:
        """The .eh_frame_hdr at *address*."""
        what = f"{self.old.where}: .eh_frame_hdr"
        data = bytearray(_HEADER + pointer(self.start, 0x1B, address + 4, what))
        data += len(self.found).to_bytes(4, "little")
        try:
            for start, place in sorted(self.found):
                data += _PAIR.pack(start - address, place - address)
        except struct.error:
            raise RefusedError(f"{what}: code is more than 2 GiB away; the image is too large") from None
        if len(data) != size:
            raise RefusedError(f"{what}: {len(data)} bytes, planned {size}")
        return bytes(data)
