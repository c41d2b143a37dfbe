"""Unwind information: every new address unwinds as the original code it stands for, nothing describes dead code, and
the search table is the section's.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from lab.errors import InputError
from lab.images.image import Image
from lab.images.rawelf import PF_X
from lab.layout import Region
from lab.metadata.cfi import Fde, Frames, rows
from lab.metadata.cfi_lsda import CallSite, Lsda
from lab.metadata.cfi_state import CfiState, How, StateRow
from rewriters.sites import Ranges
from rewriters.unwind import read_frames, read_lsda
from rewriters.verify.facts import Fact
from rewriters.verify.pair import IN_NEW_TEXT
from rewriters.verify.units import Unit, What
from rewriters.verify.ways import Ways

_PT_GNU_EH_FRAME = 0x6474E550
_HEAD = struct.Struct("<BBBBii")
_FORM = (1, 0x1B, 0x03, 0x3B)


class Unwinding:
    """What the tables of one image say, remembered by FDE."""

    def __init__(self, image: Image, frames: Frames) -> None:
        self.image, self.frames = image, frames
        self._rows: dict[int, tuple[list[int], list[StateRow]]] = {}
        self._lsda: dict[int, Lsda] = {}

    def state(self, address: int) -> CfiState | None:
        """The state before the instruction at *address*; None without an FDE."""
        fde = self.frames.at(address)
        if fde is None:
            return None
        starts, table = self.rows(fde)
        return table[bisect.bisect_right(starts, address) - 1].state

    def rows(self, fde: Fde) -> tuple[list[int], list[StateRow]]:
        """The rows of *fde* and where each begins."""
        if fde.offset not in self._rows:
            table = rows(fde)
            self._rows[fde.offset] = ([row.start for row in table], table)
        return self._rows[fde.offset]

    def site(self, call: int) -> tuple[CallSite | None, Lsda | None]:
        """The call site of the table that holds the byte before return address *call*, and the table."""
        fde = self.frames.at(call - 1)
        if fde is None or not fde.lsda:
            return None, None
        if fde.lsda not in self._lsda:
            self._lsda[fde.lsda] = read_lsda(self.image, fde)
        table = self._lsda[fde.lsda]
        return next((site for site in table.sites if site.start < call <= site.end), None), table


def check_unwinding(ways: Ways) -> Iterator[str]:
    """All of it."""
    pair = ways.pair
    before, after = read_frames(pair.old), read_frames(pair.new)
    if before is None:
        return
    if after is None:
        yield "the new image has no unwind information, the original has"
        return
    yield from _check_header(pair.new, after)
    yield from _check_code(ways, after)
    yield from _check_kept(ways, before, after)
    yield from _Follower(ways, Unwinding(pair.old, before), Unwinding(pair.new, after)).check()


def _check_header(image: Image, frames: Frames) -> Iterator[str]:
    """.eh_frame_hdr is where the program header says, sorted, and names every FDE."""
    section = image.section(".eh_frame_hdr")
    told = _told(image)
    if section is None or not section.data:
        if told is not None:
            yield f"PT_GNU_EH_FRAME names {told:#x}, where no .eh_frame_hdr is"
        return
    if told is not None and told != section.address:
        yield f"PT_GNU_EH_FRAME names {told:#x}, the section .eh_frame_hdr is at {section.address:#x}"
    *form, at, count = _HEAD.unpack_from(section.data.ljust(_HEAD.size, b"\0"))
    if tuple(form) != _FORM or count < 0 or 12 + 8 * count > len(section.data):
        yield f".eh_frame_hdr at {section.address:#x} has another form, or is cut off"
        return
    if section.address + 4 + at != frames.address:
        yield f".eh_frame_hdr names an .eh_frame at {section.address + 4 + at:#x}; it is at {frames.address:#x}"
    numbers = struct.unpack_from(f"<{2 * count}i", section.data, 12)
    table = [(section.address + s, section.address + e) for s, e in zip(numbers[::2], numbers[1::2], strict=True)]
    if any(left[0] >= right[0] for left, right in pairwise(table)):
        yield ".eh_frame_hdr is not sorted"
    wanted = {(fde.start, frames.address + fde.offset) for fde in frames.ordered}
    for start, entry in sorted(wanted - set(table)):
        yield f".eh_frame_hdr does not name the FDE of {start:#x} at {entry:#x}"
    for start, entry in sorted(set(table) - wanted):
        yield f".eh_frame_hdr names an FDE of {start:#x} at {entry:#x} that is not there"


def _told(image: Image) -> int | None:
    """Where the loaded program headers say the search table is."""
    for start, end in image.header_ranges[1:]:
        for at in range(start, end, 56):
            kind, _, _, address = struct.unpack_from("<IIQQ", image.read(at, 24))
            if kind == _PT_GNU_EH_FRAME:
                return int(address)
    return None


def check_tables(image: Image) -> Iterator[str]:
    """What is wrong with the unwind information of *image* whatever was done to it."""
    try:
        found = read_frames(image)
        for fde in found.ordered if found else ():
            rows(fde)
    except InputError as error:
        yield str(error)
        return
    if found is not None:
        if _told(image) is None and image.section(".eh_frame_hdr") is not None:
            yield "no program header leads to .eh_frame_hdr"
        yield from _check_header(image, found)
        yield from _about_code(image, found)


def _about_code(image: Image, frames: Frames) -> Iterator[str]:
    """Every FDE is about code that exists and executes."""
    for fde in frames.ordered:
        if not any(s.flags & PF_X and s.address <= fde.start and fde.end <= s.end for s in image.segments):
            yield f"the FDE of {fde.start:#x}..{fde.end:#x} is about no code"


def _check_code(ways: Ways, frames: Frames) -> Iterator[str]:
    """Every FDE is about code that exists and executes.  (One that begins in padding before a body that moved away does
    no harm: the new one of the jump there begins behind it.)"""
    pair = ways.pair
    yield from _about_code(pair.new, frames)
    dead = [piece for piece in pair.pieces.pieces if piece.region is Region.DEAD]
    starts = [piece.start for piece in dead]
    for fde in frames.ordered:
        index = bisect.bisect_left(starts, fde.end) - 1
        if index >= 0 and dead[index].end > _begin(fde) and _begin(fde) in pair.gone:
            yield f"the FDE of {pair.old.locate(fde.start)} describes code that moved away as if it were there"


def _check_kept(ways: Ways, before: Frames, after: Frames) -> Iterator[str]:
    """The FDEs of code that stayed say what they said."""
    pair = ways.pair
    dead = Ranges((p.start, p.end) for p in pair.map.inserted if p.region is Region.DEAD)
    known = {(fde.start, fde.size): fde for fde in after.ordered}
    for fde in before.ordered:
        if fde.end - 1 in dead or _begin(fde) in dead or _left(ways, _begin(fde)):
            continue
        now = known.get((fde.start, fde.size))
        if now is None:
            yield f"the FDE of {pair.old.locate(fde.start)} is gone"
        elif _says(before, fde) != _says(after, now) and rows(fde) != rows(now):
            yield f"the FDE of {pair.old.locate(fde.start)} says something else"
        elif fde.lsda != now.lsda or fde.cie.personality != now.cie.personality:
            yield f"the FDE of {pair.old.locate(fde.start)} names another exception table or personality"


def _begin(fde: Fde) -> int:
    """Where the code of *fde* begins: those of signal handlers' returns begin one byte before it, for unwinders that
    look up a return address less one."""
    return fde.start + (1 if fde.signal and fde.size > 1 else 0)


def _left(ways: Ways, start: int) -> bool:
    """Whether the function at *start* was carried away whole."""
    place = ways.pair.pieces.at(start)
    if place is None:
        return False
    now = ways.follow(start).at
    piece = ways.pair.pieces.at(now)
    return piece is not None and piece.region is Region.MOVED


def _says(frames: Frames, fde: Fde) -> tuple[bytes, bytes, str]:
    """What *fde* is made of, but for addresses and padding."""
    own = frames.data[fde.begin : fde.offset + fde.length].rstrip(b"\0")
    cie = fde.cie
    code = cie.program.code
    return own, bytes(code.data[code.at : code.end]).rstrip(b"\0"), cie.augmentation


class _Follower:
    """New code, unit by unit, against the state of what it stands for."""

    def __init__(self, ways: Ways, old: Unwinding, new: Unwinding) -> None:
        self.ways, self.pair = ways, ways.pair
        self.old, self.new = old, new
        self.stack = self.pair.arch.gprs.index(self.pair.arch.sp)
        self.owners = ways.units.owners(self.pair)

    def check(self) -> Iterator[str]:
        """Carried code, then ours."""
        for carried in self.pair.places.by_new:
            at, end = carried.old, carried.old + carried.old_size
            while at < end and (fact := self.pair.old_fact(at)) is not None:
                yield from self._carried(fact)
                at = fact.end
        for unit in self.ways.units.by_start.values():
            piece = self.pair.pieces.at(unit.start)
            if (
                piece is not None
                and piece.region in IN_NEW_TEXT
                and unit.what not in {What.STUB, What.TRAP, What.CARRIED}
            ):
                yield from self._own(unit)

    def _carried(self, fact: Fact) -> Iterator[str]:
        place = self.pair.place(fact.address)
        was = self.old.state(fact.address)
        if place is None or was is None:
            return
        now = self.new.state(place[0])
        same = now is not None and replace(now, registers=was.registers) == was
        if now is None or not (same and self._saved_alike(now, was, written=False)):
            yield f"unwinding at {self.pair.within(place[0])} is not that of {self.pair.old.locate(fact.address)}"
        if fact.target is not None or fact.kind.value == "call":
            yield from self._thrown(fact, place[1])

    def _saved_alike(self, now: CfiState, was: CfiState, *, written: bool) -> bool:
        """Whether *now* finds every register where *was* does.  One that *was* has below SP, where our pushes write,
        may be said to have its caller's value again; and must, once something is *written* there."""
        if now.registers.keys() != was.registers.keys():
            return False
        top = -was.cfa.offset if was.cfa.expression is None and was.cfa.register == self.stack else None
        for register, rule in was.registers.items():
            dead = top is not None and rule.how is How.OFFSET and rule.value < top
            restored = dead and now.registers[register].how is How.SAME
            if not restored and (now.registers[register] != rule or (dead and written)):
                return False
        return True

    def _thrown(self, fact: Fact, call: int) -> Iterator[str]:
        """Exceptions thrown by a carried call land where they landed."""
        was, table = self.old.site(fact.end)
        now, again = self.new.site(call)
        if table is None:
            return
        said = f"an exception thrown at {self.pair.within(call - 1)}"
        if (was is None) != (now is None) or again is None:
            yield f"{said} is not found in its table as at {self.pair.old.locate(fact.address)}"
        elif was is not None and now is not None:
            if (was.landing_pad == 0) != (now.landing_pad == 0) or was.action != now.action:
                yield f"{said} does other things than at {self.pair.old.locate(fact.address)}"
            elif was.landing_pad and not self.ways.same(self.ways.follow(now.landing_pad), was.landing_pad):
                yield f"{said} lands at {now.landing_pad:#x}, not in {self.pair.old.locate(was.landing_pad)}"
            elif (table.types, table.actions) != (again.types, again.actions):
                yield f"{said} is compared with other types"

    def _own(self, unit: Unit) -> Iterator[str]:
        """Our code: the state of what comes next; or of what came before, where that is another function."""
        piece = self.pair.pieces.at(unit.start)
        owner = None if piece is None else self.owners.get(piece.start)
        wanted = [state for old in self._neighbours(unit) if (state := self.old.state(old)) is not None]
        if not wanted or (owner is not None and self.old.state(owner) is None):
            return
        steps = [(piece.address, piece.pushed) for piece in unit.pieces] or [(unit.start, 0)]
        written = False
        for at, pushed in steps:
            written = written or pushed > 0
            now = self.new.state(at)
            if now is None or not any(self._like(now, state, pushed, written=written) for state in wanted):
                yield f"unwinding at {self.pair.within(at)} is not that of the code it serves"

    def _neighbours(self, unit: Unit) -> Iterator[int]:
        """Old addresses whose state may hold in *unit*."""
        way = self.ways.follow(unit.start)
        if isinstance(way.to, int):
            yield way.to
            if self.pair.map.mode == "pac":  # the filled instruction itself: its row may change behind it
                yield way.to - 4
        elif way.at in self.ways.returns:
            yield self.ways.returns[way.at]
        before = self.pair.places.before(unit.start)
        if before is not None:
            yield before.old

    def _like(self, now: CfiState, was: CfiState, pushed: int, *, written: bool) -> bool:
        """Whether *now* is *was* with *pushed* bytes more on the stack (which a landing pad must remove); and perhaps
        no longer signed, behind an authentication.  Where PAC sites are filled nothing is signed, whatever is said.
        *written*: something of ours lies below SP, or has."""
        cfa = was.cfa
        if pushed and cfa.register == self.stack and cfa.expression is None:
            cfa = cfa._replace(offset=cfa.offset + pushed)
        same = now.cfa == cfa and self._saved_alike(now, was, written=written)
        sizes = now.args_size in {was.args_size, was.args_size + pushed}
        return same and sizes and (now.signed == was.signed or was.signed or self.pair.map.mode == "pac")
