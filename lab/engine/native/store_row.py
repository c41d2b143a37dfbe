"""What the native engine knows of an instruction before it runs: flags, and where a store will write.

A store's address is one packed 64-bit row, so that compiled code can evaluate it from a table::

    bits  0..7   base register     bits 24..31  bytes written
    bits  8..15  index register    bits 32..63  displacement, signed
    bits 16..23  index: shift amount in the low four bits, or'ed with ZERO_EXTEND or SIGN_EXTEND

    address = base + (extend(index) << shift) + displacement, modulo 2^64

Registers are the values before the instruction executes.  Numbers: AArch64 0..30 = x0..x30, 31 = sp; x86-64 the
hardware's order rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8..r15; NO_REGISTER counts as 0; PC is the address of the
instruction itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

CALL = 1
REPEAT = 2  # x86 rep-prefixed string instruction: hooked, and predicted, once per iteration
STORE = 4  # one contiguous write within the row's range, or none at all
UNPREDICTED = 8  # may write anywhere
RETURN = 16

NO_REGISTER = 255
PC = 254
ZERO_EXTEND = 0x10  # of the index's low 32 bits
SIGN_EXTEND = 0x20

MASK64 = (1 << 64) - 1

#: The registers a row can name, in the order of their numbers (canonical names, ``Arch.gprs``).
ROW_REGISTERS = MappingProxyType(
    {
        "aarch64": (*(f"x{i}" for i in range(31)), "sp"),
        "x86_64": ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16))),
    }
)


class Classified(NamedTuple):
    """One instruction: its bytes, flags (CALL | REPEAT | STORE | UNPREDICTED | RETURN), and row (0 without STORE)."""

    size: int
    flags: int
    row: int


class Effect(NamedTuple):
    """Flags and row of an instruction whose size is known otherwise."""

    flags: int
    row: int


NOTHING = Effect(0, 0)
ANYWHERE = Effect(UNPREDICTED, 0)


def store(size: int, base: int, displacement: int = 0, *, index: int = NO_REGISTER, extend: int = 0) -> Effect:
    """A store of *size* bytes; ANYWHERE if size (1..255) or displacement (signed 32 bits) do not fit a row."""
    if not 1 <= size <= 255 or not -(1 << 31) <= displacement < 1 << 31:
        return ANYWHERE
    return Effect(STORE, base | index << 8 | extend << 16 | size << 24 | (displacement & 0xFFFF_FFFF) << 32)


def predicted(row: int, registers: Sequence[int], pc: int) -> tuple[int, int]:
    """(address, bytes) of the store *row* describes.  *registers*: values in the order of ROW_REGISTERS."""
    base, index, extend, size = row & 0xFF, row >> 8 & 0xFF, row >> 16 & 0xFF, row >> 24 & 0xFF
    displacement = _signed32(row >> 32)
    offset = 0 if index == NO_REGISTER else registers[index]
    if extend & ZERO_EXTEND:
        offset &= 0xFFFF_FFFF
    elif extend & SIGN_EXTEND:
        offset = _signed32(offset)
    origin = pc if base == PC else 0 if base == NO_REGISTER else registers[base]
    return (origin + (offset << (extend & 0xF)) + displacement) & MASK64, size


def _signed32(value: int) -> int:
    return ((value & 0xFFFF_FFFF) ^ 1 << 31) - (1 << 31)
