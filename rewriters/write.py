"""Writing ELF: patched bytes, a new executable segment, room for the shadow stack.  The only writer.

New segments take the place of program headers the loader can do without, so that nothing moves: PT_NOTE describes bytes
that stay where they are; PT_GNU_STACK only asks for stack permissions, and 64-bit kernels give a non-executable stack
without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.errors import RefusedError
from lab.images.image import Image
from lab.images.rawelf import PF_R, PF_W, PF_X, PT_GNU_STACK, PT_NOTE, program_headers
from rewriters.elf_tables import Changes, finish
from rewriters.plan import Plan, Storage
from rewriters.segments import PAGE, SegmentTable

#: Room for shadow entries (bytes): 131,072 return addresses.  It costs address space, not file size.
STORAGE_SIZE = 1 << 20
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
    blocked = any(end <= s.address < end + STORAGE_SIZE + 2 * PAGE for s in image.segments)
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
    start = have.grow if have.grow is not None else _page(end + PAGE)
    text = _page(end + STORAGE_SIZE + 4 * PAGE)
    if not storage:
        return Ground(Storage(), text, grows=True)
    own = start if cell is None else cell
    return Ground(Storage(start + 16, start + 16 + STORAGE_SIZE, own), text, grows=have.grow is not None)


def write(image: Image, raw: bytes, plan: Plan, ground: Ground, tables: Tables) -> bytes:
    """The rewritten file: *raw* with the edits of *plan*, its text (then *tables*) and the storage of *ground*."""
    table = SegmentTable(image, raw)
    storage, content = ground.storage, bytes(plan.text.data) + tables.data
    for edit in plan.edits:
        table.patch(edit.address, edit.data)
    fits = True
    if storage.limit and ground.grows:
        table.grow(storage.limit)
    elif storage.limit:
        fits = table.replace(_REPLACEABLE, PF_R | PF_W, storage.base - 16, STORAGE_SIZE + 16)
    if content:
        fits = table.replace(_REPLACEABLE, PF_R | PF_X, ground.text, len(content), content) and fits
    if not fits:
        raise RefusedError(no_slot(image))
    if plan.entry is not None:
        table.enter(plan.entry)
    data = table.file()
    return finish(data, tables.changes, str(image.path)) if tables.changes.sections else data


def _page(address: int) -> int:
    return address & ~(PAGE - 1)


def no_slot(image: Image) -> str:
    """The refusal for an image with too few program headers to spare."""
    return (
        f"{image.path}: no spare program header (PT_NOTE or PT_GNU_STACK) for new code or storage; "
        "link it with --build-id, or it was rewritten by another tool"
    )
