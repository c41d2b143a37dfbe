"""What .eh_frame says about whole functions: landing pads, signal frames, fragments.

Sources: LSB Core 5.0 section 10.6.1 (.eh_frame), DWARF 5 section 6.4.2 (call-frame instructions); augmentation 'S'
is GCC's.  What this reader does not know it leaves unsaid: the rows of an FDE are not its business.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.errors import InputError
from lab.images.image import Image
from rewriters.ehframe import Cursor

_OMIT, _PCREL, _INDIRECT, _APPLICATION = 0xFF, 0x10, 0x80, 0x70
_SIZES = {0x0: 8, 0x2: 2, 0x3: 4, 0x4: 8, 0xA: 2, 0xB: 4, 0xC: 8}
_SIGNED = 8
_U64 = (1 << 64) - 1
#: Opcodes that advance the location: DW_CFA_set_loc, advance_loc1, 2, 4; the high two bits 01 do as well.
_ADVANCES = frozenset({1, 2, 3, 4})
#: Opcodes by which a description differs from the CIE's state at once: CFA and saved registers (offset, val_offset,
#: their signed and expression forms).
_DIFFERS = frozenset({0x05, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16})
_HIGH_ADVANCE, _HIGH_OFFSET, _UNDEFINED = 1, 2, 0x07
#: Opcodes that say nothing about the state and their LEB128 operands: nop, remember_state, restore_state,
#: negate_ra_state, undefined, same_value, GNU_args_size.
_PASSED = {0x00: 0, 0x0A: 0, 0x0B: 0, 0x2D: 0, 0x07: 1, 0x08: 1, 0x2E: 1}


@dataclass(frozen=True, slots=True)
class Fde:
    """[start, start + size).  ``lsda``: has landing pads or cleanups; ``signal``: a signal-return trampoline;
    ``fragment``: a frame is already up at its start; ``outermost``: there is no return address from its start on."""

    start: int
    size: int
    lsda: bool
    signal: bool
    fragment: bool
    outermost: bool


@dataclass(frozen=True, slots=True)
class _Cie:
    augmented: bool
    encoding: int
    lsda_encoding: int
    signal: bool
    return_register: int


def read_fdes(image: Image) -> dict[int, Fde]:
    """By start, the FDEs of *image*; empty where there is no .eh_frame or it cannot be read (nothing is then known)."""
    section = image.section(".eh_frame")
    if section is None:
        return {}
    found: dict[int, Fde] = {}
    try:
        cies: dict[int, _Cie] = {}
        at = 0
        while at + 4 <= len(section.data):
            cursor = Cursor(section.data, section.address, str(image.path), at)
            length = cursor.unsigned(4)
            end = cursor.at + length
            body = Cursor(section.data, section.address, str(image.path), cursor.at, min(end, len(section.data)))
            if length:
                fde = _entry(body, cies)
                if fde is not None:
                    found[fde.start] = fde
            at = end
    except InputError:
        return {}
    return found


def _entry(body: Cursor, cies: dict[int, _Cie]) -> Fde | None:
    start = body.at
    pointer = body.unsigned(4)
    if pointer == 0:
        cies[start - 4] = _read_cie(body)
        return None
    cie = cies.get(start - pointer)
    if cie is None:
        raise body.fail("FDE without a CIE before it")
    first = _pointer(body, cie.encoding)
    size = body.unsigned(_SIZES[cie.encoding & 15])
    lsda = False
    if cie.augmented:
        extra = Cursor(body.data, body.base, body.where, body.at, body.end)
        length = extra.uleb()
        body.at = extra.at + length
        lsda = cie.lsda_encoding != _OMIT and length > 0 and _pointer(extra, cie.lsda_encoding, raw=True) != 0
    return Fde(first, size, lsda, cie.signal, *_at_start(body, cie.return_register))


def _pointer(body: Cursor, encoding: int, *, raw: bool = False) -> int:
    """An encoded pointer; *raw*: the value as stored (0 means none)."""
    here = body.address
    size = _SIZES.get(encoding & 15)
    if size is None:
        raise body.fail(f"pointer encoding {encoding:#x}")
    value = body.signed(size) if encoding & _SIGNED else body.unsigned(size)
    if encoding & _APPLICATION == _PCREL and not raw:
        value += here
    return value & _U64


def _read_cie(body: Cursor) -> _Cie:
    version = body.unsigned(1)
    text = bytearray()
    while byte := body.unsigned(1):
        text.append(byte)
    body.uleb()
    body.uleb()
    register = body.unsigned(1) if version == 1 else body.uleb()
    encoding, lsda = 0, _OMIT
    if text[:1] == b"z":
        body.uleb()
    for letter in text.decode("latin-1"):
        match letter:
            case "R":
                encoding = body.unsigned(1)
            case "L":
                lsda = body.unsigned(1)
            case "P":
                _pointer(body, body.unsigned(1), raw=True)
            case "z" | "S" | "B" | "G":
                pass
            case _:
                raise body.fail(f"CIE augmentation {text.decode('latin-1')!r}")
    if encoding & 15 not in _SIZES or encoding & _APPLICATION not in {0, _PCREL} or encoding & _INDIRECT:
        raise body.fail(f"pointer encoding {encoding:#x}")
    return _Cie(text[:1] == b"z", encoding, lsda, b"S"[0] in text, register)


def _at_start(body: Cursor, return_register: int) -> tuple[bool, bool]:
    """Whether, before the description advances, it changes the CIE's state, and whether it says there is no caller."""
    while body.at < body.end:
        opcode = body.unsigned(1)
        high = opcode >> 6
        if high == _HIGH_ADVANCE or opcode in _ADVANCES:
            return False, False
        if high == _HIGH_OFFSET or opcode in _DIFFERS:
            return True, False
        operands = [body.uleb() for _ in range(_PASSED.get(opcode, 0))]
        if opcode == _UNDEFINED and operands == [return_register]:
            return False, True
    return False, False
