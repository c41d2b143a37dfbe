"""Writing ELF: patched bytes, a new executable segment, room for the shadow stack.  The only writer; lief does it.

lief's ``add`` breaks images (it moves the program headers), ``replace`` does not: so new segments take the place
of program headers the loader can do without.  PT_NOTE describes bytes that stay where they are; PT_GNU_STACK only
asks for stack permissions, and 64-bit kernels give a non-executable stack without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.errors import EngineError, InputError, RefusedError
from lab.images.image import Image
from lab.images.rawelf import PF_W, PT_GNU_STACK, PT_NOTE, program_headers
from rewriters.elf_tables import Changes, finish
from rewriters.plan import Plan, Storage

#: Room for shadow entries (bytes): 131,072 return addresses.  It costs address space, not file size.
STORAGE_SIZE = 1 << 20
_PAGE = 0x1000
_REPLACEABLE = (PT_NOTE, PT_GNU_STACK)


@dataclass(frozen=True, slots=True)
class Room:
    """What an image can take.  ``slots``: program headers that may be replaced; ``grow``: address at which the last
    writable segment can be made STORAGE_SIZE + a page longer, or None."""

    slots: int
    grow: int | None


def room(image: Image, raw: bytes) -> Room:
    """Look at the program headers of *image* (whose file is *raw*)."""
    kinds = [header[0] for header in program_headers(image.path, raw)]
    slots = sum(kind in _REPLACEABLE for kind in kinds)
    writable = [segment for segment in image.segments if segment.flags & PF_W]
    if not writable:
        return Room(slots, None)
    end = writable[-1].end + 15 & ~15
    blocked = any(end <= s.address < end + STORAGE_SIZE + 2 * _PAGE for s in image.segments)
    return Room(slots, None if blocked else end)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where new things go: the shadow stack's storage, and ``text``, the address of new code and tables.  ``grows``:
    the storage is what the last writable segment becomes longer by; else it is a segment of its own."""

    storage: Storage
    text: int
    grows: bool


@dataclass(frozen=True, slots=True)
class Tables:
    """``data``: what is loaded behind the new text, unwind information above all; ``changes``: what section headers
    and symbols must say."""

    data: bytes = b""
    changes: Changes = field(default_factory=Changes)


def slots_needed(have: Room, *, text: bool, storage: bool) -> int:
    """Program headers to replace."""
    return int(text) + int(storage and have.grow is None)


def lay_out(image: Image, have: Room, *, storage: bool, cell: int | None) -> Ground:
    """Choose addresses.  *storage*: reserve room for the shadow stack; *cell*: address of the image's own pointer, or
    None to reserve one."""
    end = image.segments[-1].end
    start = have.grow if have.grow is not None else _page(end + _PAGE)
    text = _page(end + STORAGE_SIZE + 4 * _PAGE)
    if not storage:
        return Ground(Storage(), text, grows=True)
    own = start if cell is None else cell
    return Ground(Storage(start + 16, start + 16 + STORAGE_SIZE, own), text, grows=have.grow is not None)


def write(image: Image, raw: bytes, plan: Plan, ground: Ground, tables: Tables) -> bytes:
    """The rewritten file: *raw* with the edits of *plan*, its text (then *tables*) and the storage of *ground*."""
    import lief

    binary = lief.ELF.parse(raw)
    if binary is None:
        raise EngineError(f"{image.path}: the ELF parser rejects on writing what it took on reading")
    _reserve(image, binary, ground)
    content = bytes(plan.text.data) + tables.data
    if content:
        _replace(image, binary, content, ground.text, executable=True)
    for edit in plan.edits:
        binary.patch_address(edit.address, list(edit.data))
    if plan.entry is not None:
        binary.header.entrypoint = plan.entry
    try:
        data = bytes(binary.write_to_bytes())
    except (ValueError, RuntimeError, MemoryError) as error:
        raise InputError(f"{image.path}: the ELF writer fails ({error}); the file's headers are damaged") from None
    return finish(data, tables.changes, str(image.path)) if tables.changes.sections else data


def _page(address: int) -> int:
    return address & ~(_PAGE - 1)


def _reserve(image: Image, binary: Any, ground: Ground) -> None:
    """Room for the cell and the shadow stack, in the last writable segment or a new one."""
    import lief

    storage = ground.storage
    if storage.limit == 0:
        return
    if not ground.grows:
        _replace(image, binary, b"\0" * (STORAGE_SIZE + 16), storage.base - 16, executable=False)
        return
    kinds, flags = lief.ELF.Segment.TYPE, lief.ELF.Segment.FLAGS
    writable = [s for s in binary.segments if s.type == kinds.LOAD and s.has(flags.W)]
    grown = max(writable, key=lambda s: int(s.virtual_address))
    grown.virtual_size = storage.limit - int(grown.virtual_address)


def _replace(image: Image, binary: Any, content: bytes, address: int, *, executable: bool) -> None:
    """Put a new PT_LOAD at *address* in the place of a replaceable program header; RefusedError if there is none."""
    import lief

    kinds = lief.ELF.Segment.TYPE
    flags = lief.ELF.Segment.FLAGS
    old = next((s for kind in (kinds.NOTE, kinds.GNU_STACK) for s in binary.segments if s.type == kind), None)
    if old is None:
        raise RefusedError(no_slot(image))
    segment = lief.ELF.Segment()
    segment.type = kinds.LOAD
    segment.flags = flags.R | (flags.X if executable else flags.W)
    segment.alignment = _PAGE
    segment.virtual_address = address
    segment.content = list(content)
    placed = binary.replace(segment, old)
    if placed is None:
        raise InputError(f"{image.path}: the ELF writer cannot place a segment in this file; its headers are damaged")
    if int(placed.virtual_address) != address:
        raise EngineError(f"{image.path}: the ELF writer placed a segment at {int(placed.virtual_address):#x}")


def no_slot(image: Image) -> str:
    """The refusal for an image with too few program headers to spare."""
    return (
        f"{image.path}: no spare program header (PT_NOTE or PT_GNU_STACK) for new code or storage; "
        "link it with --build-id, or it was rewritten by another tool"
    )
