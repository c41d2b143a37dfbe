"""Call-frame instructions and FDEs as bytes.  Source: DWARF 5 sections 6.4.2 and 7.24; LSB Core 5.0 section 10.6."""

from __future__ import annotations

from collections.abc import Iterable

from lab.errors import RefusedError
from lab.metadata.cfi import Cie
from lab.metadata.cfi_reader import FORMATS, INDIRECT, PCREL
from lab.metadata.cfi_state import Cfa, CfiState, How, Rule

_BASE = 0x70
_OPERATION = {
    How.UNDEFINED: 0x07,
    How.SAME: 0x08,
    How.REGISTER: 0x09,
    How.EXPRESSION: 0x10,
    How.VAL_EXPRESSION: 0x16,
}


def uleb(value: int) -> bytes:
    """*value* as unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sleb(value: int) -> bytes:
    """*value* as signed LEB128."""
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def pointer(value: int, encoding: int, place: int, what: str) -> bytes:
    """The address *value* in *encoding* (absolute or pc-relative), to stand at *place*; 0 is null.

    RefusedError naming *what* if it does not fit, or has no fixed size."""
    size, signed = _format(encoding, what)
    kind = encoding & _BASE & ~INDIRECT
    if kind not in {0, PCREL}:
        raise RefusedError(f"{what}: pointers of encoding {encoding:#x} cannot be written elsewhere")
    if value and kind == PCREL:
        value -= place
    return _fixed(value, size, signed, what)


def number(value: int, encoding: int, what: str) -> bytes:
    """*value* in the format of *encoding*, relative to nothing."""
    size, signed = _format(encoding, what)
    return _fixed(value, size, signed, what)


def _format(encoding: int, what: str) -> tuple[int, bool]:
    found = FORMATS.get(encoding & 0x0F)
    if found is None:
        raise RefusedError(f"{what}: pointers of encoding {encoding:#x} have no fixed size")
    return found


def _fixed(value: int, size: int, signed: bool, what: str) -> bytes:
    if size == 8:
        return (value & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little")
    try:
        return value.to_bytes(size, "little", signed=signed)
    except OverflowError:
        raise RefusedError(f"{what}: {value:#x} does not fit in {size} bytes; the image is too large") from None


def instructions(cie: Cie, table: Iterable[tuple[int, CfiState]], start: int, what: str) -> bytes:
    """The shortest program that makes *table* ((address, state from there on), the first at *start*) out of the
    initial state of *cie*.  RefusedError naming *what* if its factors cannot express a value."""
    out = bytearray()
    state, location = cie.initial, start
    for at, then in table:
        if at != location:
            out += _advance(at - location, cie, what)
            location = at
        out += _change(cie, state, then, what)
        state = then
    return bytes(out)


def _advance(distance: int, cie: Cie, what: str) -> bytes:
    steps = _factored(distance, cie.code_align, what)
    if steps < 0x40:
        return bytes([0x40 | steps])
    for opcode, size in ((0x02, 1), (0x03, 2), (0x04, 4)):
        if steps < 1 << 8 * size:
            return bytes([opcode]) + steps.to_bytes(size, "little")
    raise RefusedError(f"{what}: a span of {distance:#x} bytes is too long")


def _factored(value: int, factor: int, what: str) -> int:
    if factor == 0 or value % factor:
        raise RefusedError(f"{what}: {value} is no multiple of its CIE's alignment factor {factor}")
    return value // factor


def _change(cie: Cie, old: CfiState, new: CfiState, what: str) -> bytes:
    """The instructions that lead from *old* to *new*."""
    out = _define(cie, old.cfa, new.cfa, what)
    if new.registers is not old.registers:
        for register, rule in new.registers.items():
            if old.registers.get(register) != rule:
                out += _rule(cie, register, rule, what)
        for register in old.registers:
            if register not in new.registers:
                # Restoring is giving back the CIE's rule; one it has (as none drops a rule) would not be missing.
                out += bytes([0xC0 | register]) if register < 64 else b"\x06" + uleb(register)
    if new.signed != old.signed:
        out += b"\x2d"
    if new.args_size != old.args_size:
        out += b"\x2e" + uleb(new.args_size)
    return out


def _define(cie: Cie, old: Cfa, new: Cfa, what: str) -> bytes:
    if new == old:
        return b""
    if new.expression is not None:
        return b"\x0f" + uleb(len(new.expression)) + new.expression
    if new.register is None:
        raise RefusedError(f"{what}: its CFA has no rule")
    if new.offset < 0:
        return b"\x12" + uleb(new.register) + sleb(_factored(new.offset, cie.data_align, what))
    if old.expression is None and old.register == new.register:
        return b"\x0e" + uleb(new.offset)
    if old.expression is None and old.offset == new.offset and old.register is not None:
        return b"\x0d" + uleb(new.register)
    return b"\x0c" + uleb(new.register) + uleb(new.offset)


def _rule(cie: Cie, register: int, rule: Rule, what: str) -> bytes:
    how = rule.how
    if how in {How.OFFSET, How.VAL_OFFSET}:
        value = _factored(rule.value, cie.data_align, what)
        if how is How.VAL_OFFSET:
            return (b"\x14" if value >= 0 else b"\x15") + uleb(register) + (uleb if value >= 0 else sleb)(value)
        if value < 0:
            return b"\x11" + uleb(register) + sleb(value)
        return bytes([0x80 | register]) + uleb(value) if register < 64 else b"\x05" + uleb(register) + uleb(value)
    out = bytes([_OPERATION[how]]) + uleb(register)
    if how is How.REGISTER:
        return out + uleb(rule.value)
    if how in {How.EXPRESSION, How.VAL_EXPRESSION}:
        return out + uleb(len(rule.expression)) + rule.expression
    return out
