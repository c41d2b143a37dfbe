"""The entries of .eh_frame: CIEs and FDEs, parsed quickly; what their programs say is worked out on demand.

Sources: LSB Core 5.0 section 10.6 (.eh_frame); DWARF 5 section 6.4.1; AADWARF64 2023Q3 (augmentations ``B`` and
``G``).  The section comes from an untrusted file: anything out of order is an InputError naming the address.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from lab.metadata.cfi_entries import Cie, Fde, Frames, rows, state_at
from lab.metadata.cfi_reader import INDIRECT, OMIT, Reader
from lab.metadata.cfi_state import Program

__all__ = ["Cie", "Fde", "Frames", "fdes", "frames", "rows", "state_at"]

_HEAD = Struct("<II")
_SDATA4 = Struct("<iI")
_PCREL_SDATA4 = 0x1B
_EXTENDED = 0xFFFF_FFFF


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
