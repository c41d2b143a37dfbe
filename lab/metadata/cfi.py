"""The entries of .eh_frame: CIEs and FDEs, parsed quickly; what their programs say is worked out on demand.

Sources: LSB Core 5.0 section 10.6 (.eh_frame); DWARF 5 section 6.4.1; AADWARF64 2023Q3 (augmentations ``B`` and
``G``).  The section comes from an untrusted file: anything out of order is an InputError naming the address.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from struct import Struct

from lab.metadata.cfi_reader import INDIRECT, OMIT, Reader
from lab.metadata.cfi_state import CfiState, Program, StateRow

_HEAD = Struct("<II")
_SDATA4 = Struct("<iI")
_PCREL_SDATA4 = 0x1B
_EXTENDED = 0xFFFF_FFFF


@dataclass(frozen=True, eq=False)
class Cie:
    """A common information entry.  ``offset`` is that of its length field in the section, ``length`` its bytes in
    all; ``encoding`` that of FDE addresses, ``lsda_encoding`` OMIT where FDEs have no LSDA; ``personality`` the
    routine's address (with INDIRECT in its encoding: the address of the slot that holds it), 0 if there is none;
    ``personality_at`` the offset of the encoded pointer; ``signal``: the frames are signal frames; ``b_key``:
    return addresses are signed with key B (AArch64); ``program`` where the initial instructions lie."""

    offset: int
    length: int
    augmentation: str
    code_align: int
    data_align: int
    return_column: int
    encoding: int
    lsda_encoding: int
    personality: int
    personality_encoding: int
    personality_at: int
    has_data: bool
    program: Program

    @property
    def signal(self) -> bool:
        """The frames are those of signal handlers: the return address is the next instruction to run."""
        return "S" in self.augmentation

    @property
    def b_key(self) -> bool:
        """Return addresses are signed with key B, not A (AArch64)."""
        return "B" in self.augmentation

    @cached_property
    def initial(self) -> CfiState:
        """The state on entry to every function of this CIE, before its own instructions."""
        return self.program.initial()


@dataclass(frozen=True, slots=True, eq=False)
class Fde:
    """The code [start, start + size) and how to unwind from it.  ``lsda``: address of its exception table, 0 if
    none; ``offset``/``length`` of the entry in its section; ``lsda_at``: offset of the encoded LSDA pointer;
    ``begin``: offset of the instructions, which go to the end of the entry."""

    offset: int
    length: int
    start: int
    size: int
    cie: Cie
    lsda: int
    lsda_at: int
    begin: int

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def program(self) -> Program:
        """Its instructions."""
        return self.cie.program.part(self.begin, self.offset + self.length)

    @property
    def signal(self) -> bool:
        """The frame is a signal handler's (augmentation ``S``)."""
        return self.cie.signal

    @property
    def fragment(self) -> bool:
        """The code starts in the middle of a function: its frame is already up (``f.cold``).  An undefined return
        address alone makes no fragment (see ``outermost``)."""
        first, initial = self.first, self.cie.initial
        column = self.cie.return_column
        ours = {register: rule for register, rule in first.registers.items() if register != column}
        entry = {register: rule for register, rule in initial.registers.items() if register != column}
        if first.cfa != initial.cfa or ours != entry or first.signed != initial.signed:
            return True
        return not self.outermost and first.registers.get(column) != initial.registers.get(column)

    @property
    def outermost(self) -> bool:
        """At its first address the return address is undefined: nobody to return to (``_start``, new threads)."""
        return self.first.undefined(self.cie.return_column)

    @property
    def first(self) -> CfiState:
        """The state at the first address."""
        return state_at(self, self.start)


@dataclass(frozen=True)
class Frames:
    """A whole .eh_frame loaded at ``address``: ``cies`` and ``fdes`` in file order.  ``dropped``: FDEs whose code
    the linker discarded (null start); ``end``: offset of the terminator, or the section's length without one."""

    data: bytes
    address: int
    where: str
    cies: tuple[Cie, ...]
    fdes: tuple[Fde, ...]
    dropped: tuple[Fde, ...]
    end: int

    @cached_property
    def ordered(self) -> tuple[Fde, ...]:
        """The FDEs that cover code, by start."""
        return tuple(sorted((fde for fde in self.fdes if fde.size), key=lambda fde: fde.start))

    @cached_property
    def _starts(self) -> list[int]:
        return [fde.start for fde in self.ordered]

    def at(self, address: int) -> Fde | None:
        """The FDE whose code holds *address*; None if there is none.  Of FDEs that overlap, the nearest start."""
        index = bisect.bisect_right(self._starts, address) - 1
        found = self.ordered[index] if index >= 0 else None
        return found if found is not None and address < found.end else None

    def within(self, start: int, end: int) -> tuple[Fde, ...]:
        """The FDEs that cover some of [start, end), by start (of FDEs that overlap, the nearest)."""
        first = max(bisect.bisect_right(self._starts, start) - 1, 0)
        last = bisect.bisect_left(self._starts, end)
        return tuple(fde for fde in self.ordered[first:last] if fde.end > start)


def fdes(data: bytes, address: int, where: str) -> tuple[Fde, ...]:
    """The FDEs in *data*, the contents of .eh_frame loaded at *address*, in file order; discarded ones left out."""
    return frames(data, address, where).fdes


def frames(data: bytes, address: int, where: str) -> Frames:
    """Parse *data*, the contents of .eh_frame loaded at *address*; *where* names the file in InputErrors."""
    cies: dict[int, Cie] = {}
    found: list[Fde] = []
    dropped: list[Fde] = []
    reader = Reader(data, address, where)
    end = len(data)
    for at, stop, pointer in _entries(reader):
        if stop == at:
            end = at
        elif pointer == 0:
            cies[at] = _cie(reader.part(at + 8, stop))
        else:
            cie = cies.get(at + 4 - pointer)
            if cie is None:
                raise reader.fail("FDE without a CIE before it", at)
            fde = _fde(reader, at, stop, cie)
            (found if fde.start else dropped).append(fde)
    return Frames(data, address, where, tuple(cies.values()), tuple(found), tuple(dropped), end)


def rows(fde: Fde) -> list[StateRow]:
    """What *fde* says, as rows that cover its code from start to end; neighbours differ.  InputError if damaged."""
    return fde.program.rows(fde.start, fde.end, fde.cie.initial)


def state_at(fde: Fde, address: int) -> CfiState:
    """The state before the instruction at *address* executes.  InputError if *address* is outside or *fde* damaged."""
    if not fde.start <= address < max(fde.end, fde.start + 1):
        raise fde.program.code.fail(f"{address:#x} is outside the FDE's {fde.start:#x}..{fde.end:#x}", fde.offset)
    return fde.program.state_at(fde.start, address, fde.cie.initial)


def _entries(reader: Reader) -> Iterator[tuple[int, int, int]]:
    """(offset, end, CIE id or pointer) of every entry; the terminator, if any, comes last with end = offset."""
    data, at, size = reader.data, 0, len(reader.data)
    while at < size:
        if at + 4 > size:
            raise reader.fail("truncated", at)
        length = int.from_bytes(data[at : at + 4], "little")
        if length == 0:
            yield at, at, 0
            return
        if length == _EXTENDED:
            raise reader.fail("64-bit DWARF (extended length) is not supported", at)
        stop = at + 4 + length
        if length < 4 or stop > size:
            raise reader.fail("truncated", at)
        yield at, stop, _HEAD.unpack_from(data, at)[1]
        at = stop


def _cie(body: Reader) -> Cie:
    start, where = body.at - 8, body.at
    version = body.byte()
    if version not in {1, 3, 4}:
        raise body.fail(f"CIE version {version} is not supported", where)
    text = body.text().decode("latin-1")
    letters = text
    if letters.startswith("eh"):
        body.skip(8)  # a pointer that g++ before 3.0 used
        letters = letters[2:]
    if version == 4 and body.take(2) != b"\x08\x00":
        raise body.fail("CIE with another address size than 8, or with segments", where)
    code_align, data_align = body.uleb(), body.sleb()
    column = body.byte() if version == 1 else body.uleb()
    end = body.end
    if letters.startswith("z"):
        size = body.uleb()
        end = body.at
        body.skip(size)
        body.at, end = end, body.at
    encodings = _augmentation(body.part(body.at, end), letters.removeprefix("z"), text)
    has_data = letters.startswith("z")
    at = end if has_data else body.at
    program = Program(body.part(at, body.end), code_align, data_align, encodings["R"])
    return Cie(
        offset=start,
        length=body.end - start,
        augmentation=text,
        code_align=code_align,
        data_align=data_align,
        return_column=column,
        encoding=encodings["R"],
        lsda_encoding=encodings["L"],
        personality=encodings["P"],
        personality_encoding=encodings["P encoding"],
        personality_at=encodings["P at"],
        has_data=has_data,
        program=program,
    )


def _augmentation(data: Reader, letters: str, text: str) -> dict[str, int]:
    """What the augmentation *letters* say; an unknown one is an error, for its data could mean anything."""
    found = {"R": 0, "L": OMIT, "P": 0, "P encoding": OMIT, "P at": 0}
    for letter in letters:
        if letter in {"R", "L"}:
            found[letter] = data.byte()
        elif letter == "P":
            found["P encoding"] = data.byte()
            found["P at"] = data.at
            found["P"] = data.pointer(found["P encoding"])
        elif letter not in {"S", "B", "G"}:
            raise data.fail(f"CIE augmentation {text!r} is not known")
    if found["R"] == OMIT or found["R"] & INDIRECT:
        raise data.fail(f"FDE pointer encoding {found['R']:#x} is not supported")
    return found


def _fde(whole: Reader, at: int, stop: int, cie: Cie) -> Fde:
    """The FDE at offset *at*.  The usual pointer encoding and a short augmentation take a short way."""
    data = whole.data
    if cie.encoding == _PCREL_SDATA4 and at + 17 <= stop and cie.has_data and data[at + 16] < 0x80:
        value, size = _SDATA4.unpack_from(data, at + 8)
        start = (value + whole.base + at + 8) & 0xFFFF_FFFF_FFFF_FFFF if value else 0
        first, begin = at + 17, at + 17 + data[at + 16]
    else:
        body = whole.part(at + 8, stop)
        start, size = body.pointer(cie.encoding), body.number(cie.encoding)
        room = body.uleb() if cie.has_data else 0
        first, begin = body.at, body.at + room
    if begin > stop or size < 0 or start + size > 1 << 64:
        raise whole.fail("FDE with a damaged length or range", at)
    lsda = 0
    if cie.lsda_encoding != OMIT and begin > first:
        if cie.lsda_encoding & INDIRECT:
            raise whole.fail("indirect LSDA pointer is not supported", at)
        lsda = whole.part(first, begin).pointer(cie.lsda_encoding)
    return Fde(at, stop - at, start, size, cie, lsda, first, begin)
