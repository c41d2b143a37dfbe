"""What a rewrite is made of before it is written: edits, new text, and where the return address is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.images.image import Image
from lab.images.rawelf import PF_X
from lab.layout import Carried, Flavour, InsertedRange, LayoutRow, Patched, Region, SiteOut, Where
from rewriters.elf_tables import Moved, NewSymbol
from rewriters.refusals import MARKER
from rewriters.rows import gaps, merged
from rewriters.sequences import Places, entry_stub
from rewriters.text import NewText
from rewriters.unwind import Registration, Span

#: What the symbol of a function's out-of-line code ends in.
OUT_OF_LINE = ".detour"


@dataclass(frozen=True, slots=True)
class Edit:
    """New bytes for old code or data."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the shadow stack is: [base, limit), and the cell that holds its pointer (Flavour.MEMORY)."""

    base: int = 0
    limit: int = 0
    cell: int | None = None


@dataclass
class Plan:
    """Everything to write.  ``text`` goes to its own base; empty = no segment is needed.  ``entry`` is the
    stub's address, or None if the program's own entry stays.  ``spans`` say how new text is unwound, ``dead`` which old
    bodies no longer execute, ``symbols`` what new text is called."""

    text: NewText
    entry: int | None = None
    edits: list[Edit] = field(default_factory=list)
    inserted: list[InsertedRange] = field(default_factory=list)
    rows: list[LayoutRow] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    patched: list[Patched] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    dead: list[tuple[int, int]] = field(default_factory=list)
    symbols: list[NewSymbol] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    inline: int = 0
    out_of_line: int = 0

    @property
    def here(self) -> int:
        """Address of the next byte of new text."""
        return self.text.here

    def edit(self, address: int, data: bytes) -> None:
        """Replace what is at *address*."""
        self.edits.append(Edit(address, data))

    def patch(self, address: int, data: bytes, old: int, new: int) -> None:
        """Replace what is at *address* and named *old* by *data*, which names *new*."""
        self.edit(address, data)
        self.patched.append(Patched(address, len(data), old, new))

    def finish(self, image: Image) -> None:
        """Put everything in order, say "unknown" for code no row covers, and read all new text back."""
        spans = [(s.address, s.address + s.size) for s in image.sections if s.executable]
        spans = spans or [(s.address, s.end) for s in image.segments if s.flags & PF_X]
        self.rows = merged(self.rows + gaps(spans, self.rows))
        self.inserted.sort(key=lambda piece: piece.start)
        self.edits.sort(key=lambda edit: edit.address)
        self.carried.sort(key=lambda piece: piece.old)
        self.text.read_back()


@dataclass(frozen=True)
class Prepared:
    """A mode's decisions for one image: all but the addresses.

    ``fill``(plan, storage) does the work on a plan whose text begins with mark and stub; it may be called more than
    once.  ``needs_text``: whether it adds any new text of its own.  ``instrumented``: functions that get a shadow
    entry; ``sites``: places found; ``scan``: how well other ways to find them did; ``decoded`` and ``understood``:
    instructions (row 49); ``registrations``: code that hands the unwind tables to the unwinder; ``calling``: functions
    that make a call, and how many of them get an entry."""

    fill: Callable[[Plan, Storage], None]
    needs_text: bool
    instrumented: int
    sites: int
    left_out: tuple[SiteOut, ...]
    scan: dict[str, Any]
    decoded: int
    understood: int
    registrations: tuple[Registration, ...] = ()
    calling: int = 0
    calling_instrumented: int = 0


def begin_plan(image: Image, flavour: Flavour, base: int, storage: Storage, *, text: bool, stub: bool) -> Plan:
    """A plan whose text (if *text* or *stub*) begins with the mark and the entry stub that sets the pointer up."""
    plan = Plan(NewText(image.arch, base))
    if text or stub:
        plan.text.fill(MARKER)
    if stub:
        plan.entry = start = plan.here
        for piece in entry_stub(image.arch, flavour, start, Places(storage.base, storage.cell or 0, image.entry)):
            plan.text.put(piece.raw, piece.text)
        plan.inserted.append(InsertedRange(start, plan.here, Region.TRAMPOLINE, ""))
        plan.symbols.append(NewSymbol("unwindlab_start", start, plan.here - start))
        plan.rows.append(LayoutRow(start, plan.here, Where.OUTERMOST))
    return plan
