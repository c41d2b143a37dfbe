"""Where .eh_frame says that the return address's signing state changes, read as the kernel's patcher reads it.

The model is the walker of Linux v6.13 arch/arm64/kernel/pi/patch-scs.c: a CIE must have augmentation "zR",
pc-relative sdata4 pointers and return-address register 30; of the call-frame opcodes only the ones that
advance the location matter, and one it does not know is an error.  On DW_CFA_AARCH64_negate_ra_state it looks
at the instruction *before* the location.  Opcodes and encodings: DWARF 5 section 7.24; LSB Core 10.6.1 (.eh_frame).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.errors import InputError

_PCREL_SDATA4 = 0x1B
_RA_REGISTER = 30

_NOP, _REMEMBER, _RESTORE_STATE, _NEGATE_RA_STATE = 0x00, 0x0A, 0x0B, 0x2D
_ADVANCE_SIZES = {0x02: 1, 0x03: 2, 0x04: 4}  # DW_CFA_advance_loc1, loc2, loc4: bytes of delta
#: LEB128 operands to skip, by opcode: offset_extended, restore_extended, undefined, same_value, register,
#: def_cfa, def_cfa_register, def_cfa_offset, offset_extended_sf, def_cfa_sf, def_cfa_offset_sf.
_LEB_OPERANDS = {5: 2, 6: 1, 7: 1, 8: 1, 9: 2, 0x0C: 2, 0x0D: 1, 0x0E: 1, 0x11: 2, 0x12: 2, 0x13: 1}
_HIGH_ADVANCE, _HIGH_OFFSET, _HIGH_RESTORE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class SigningChange:
    """The FDE of the function at ``function`` says that the signing state changes at ``location``."""

    function: int
    location: int


@dataclass(frozen=True, slots=True)
class _Cie:
    code_alignment: int


class Cursor:
    """Bounds-checked little-endian reading of *data*, loaded at *base*; InputError names *where*."""

    def __init__(self, data: bytes, base: int, where: str, start: int = 0, end: int | None = None) -> None:
        self.data, self.base, self.where = data, base, where
        self.at = start
        self.end = len(data) if end is None else end

    @property
    def address(self) -> int:
        """Address of the next byte."""
        return self.base + self.at

    def fail(self, what: str) -> InputError:
        """An error at the current place."""
        return InputError(f"{self.where}: .eh_frame at {self.address:#x}: {what}")

    def take(self, size: int) -> bytes:
        """The next *size* bytes."""
        if self.at + size > self.end:
            raise self.fail("truncated")
        piece = self.data[self.at : self.at + size]
        self.at += size
        return piece

    def unsigned(self, size: int) -> int:
        """The next *size* bytes as an unsigned number."""
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        """The next *size* bytes as a signed number."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def uleb(self) -> int:
        """An unsigned LEB128 number (a signed one is skipped the same way)."""
        value = shift = 0
        while True:
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 63:
                raise self.fail("LEB128 number longer than 64 bits")


def signing_changes(data: bytes, base: int, where: str) -> Iterator[SigningChange]:
    """Every signing-state change in section contents *data* loaded at *base*, in file order.

    InputError, with the address, for anything the kernel's walker would not accept."""
    cies: dict[int, _Cie] = {}
    at = 0
    while at < len(data):
        cursor = Cursor(data, base, where, at)
        length = cursor.unsigned(4)
        if length == 0:
            return
        if length == 0xFFFF_FFFF:
            raise cursor.fail("64-bit DWARF is not supported")
        start = cursor.at
        if start + length > len(data):
            raise cursor.fail("truncated")
        body = Cursor(data, base, where, start, start + length)
        pointer = body.unsigned(4)
        if pointer == 0:
            cies[at] = _read_cie(body)
        else:
            cie = cies.get(start - pointer)
            if cie is None:
                raise body.fail("FDE without a CIE before it")
            yield from _walk_fde(body, cie)
        at = start + length


def _read_cie(body: Cursor) -> _Cie:
    version = body.unsigned(1)
    if version not in {1, 3}:
        raise body.fail(f"CIE version {version} is not supported")
    text = bytearray()
    while byte := body.unsigned(1):
        text.append(byte)
    if text != b"zR":
        raise body.fail(f"CIE augmentation {text.decode('latin-1')!r}; the patcher reads only 'zR'")
    code_alignment = body.uleb()
    body.uleb()  # data alignment factor: no opcode we act on is scaled by it
    register = body.unsigned(1) if version == 1 else body.uleb()
    if register != _RA_REGISTER:
        raise body.fail(f"return-address register {register}, not {_RA_REGISTER}")
    body.uleb()
    encoding = body.unsigned(1)
    if encoding != _PCREL_SDATA4:
        raise body.fail(f"pointer encoding {encoding:#x}; the patcher reads only {_PCREL_SDATA4:#x} (pcrel sdata4)")
    return _Cie(code_alignment)


def _walk_fde(body: Cursor, cie: _Cie) -> Iterator[SigningChange]:
    field = body.address
    function = location = field + body.signed(4)
    body.unsigned(4)  # length of the range: the opcodes decide
    body.take(body.uleb())
    while body.at < body.end:
        opcode = body.unsigned(1)
        high, low = opcode >> 6, opcode & 0x3F
        if high == _HIGH_ADVANCE:
            location += low * cie.code_alignment
        elif high == _HIGH_OFFSET:
            body.uleb()
        elif high == _HIGH_RESTORE or opcode in {_NOP, _REMEMBER, _RESTORE_STATE}:
            pass
        elif opcode in _ADVANCE_SIZES:
            location += body.unsigned(_ADVANCE_SIZES[opcode]) * cie.code_alignment
        elif opcode == _NEGATE_RA_STATE:
            yield SigningChange(function, location)
        elif opcode in _LEB_OPERANDS:
            for _ in range(_LEB_OPERANDS[opcode]):
                body.uleb()
        else:
            raise body.fail(f"unknown call-frame opcode {opcode:#x}")
