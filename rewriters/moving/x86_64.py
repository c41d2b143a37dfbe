"""Carrying x86-64 instructions.

Source: Intel SDM vol. 2, chapter 2 (prefixes, RIP-relative addressing 2.2.1.6) and the pages of JMP, Jcc, CALL, LOOP,
JrCXZ and XBEGIN.  A displacement is found where capstone says it is and read back afterwards, in every encoding.

Forms do not depend on addresses: short jumps become their 32-bit forms, LOOP and JrCXZ jump over a jump.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import capstone

from lab.arch.decode import Insn, Kind
from rewriters import encode
from rewriters.encode import Encoded, number
from rewriters.moving.forms import Moved, Resolve, assembled, field, refuse, signed, verbatim

_RIP = re.compile(r"\[rip(?: ([+-]) (0x[0-9a-f]+|\d+))?\]")
_LAST_NUMBER = re.compile(r"(0x[0-9a-f]+|\d+)$")
_LEGACY = frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3})
_OPERAND_SIZE = 0x66
_JMP8, _JMP32, _CALL = 0xEB, 0xE9, 0xE8
_LOOPS = range(0xE0, 0xE4)
_JCC8, _JCC32 = range(0x70, 0x80), range(0x80, 0x90)
_XBEGIN = b"\xc7\xf8"


@dataclass(frozen=True, slots=True)
class _Relative:
    """A direct branch: bytes before its opcode, the opcode, and bytes of its distance."""

    prefix: bytes
    opcode: bytes
    width: int

    @property
    def is_loop(self) -> bool:
        return self.opcode[0] in _LOOPS

    def long(self) -> bytes:
        """The opcode that takes a 32-bit distance."""
        first = self.opcode[0]
        if first in _JCC8:
            return bytes([0x0F, first + 0x10])
        return bytes([_JMP32]) if first == _JMP8 else self.opcode


@cache
def _engine() -> capstone.Cs:
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = True
    return engine


def _branch(insn: Insn) -> _Relative | None:
    """The parts of a direct branch; None where *insn* is none, or one of a form nobody emits."""
    if insn.target is None and insn.mnemonic != "xbegin":
        return None
    at = 0
    while at < insn.size and (insn.raw[at] in _LEGACY or insn.raw[at] >> 4 == 4):
        at += 1
    prefix, rest = insn.raw[:at], insn.raw[at:]
    wide = any(byte >> 4 == 4 and byte & 8 for byte in prefix)
    if _OPERAND_SIZE in prefix and not wide:
        return None  # Intel ignores the prefix, AMD truncates the target
    if rest[0] in {_JMP32, _CALL}:
        found, width = rest[:1], 4
    elif rest[0] == _JMP8 or rest[0] in _JCC8 or rest[0] in _LOOPS:
        found, width = rest[:1], 1
    elif rest[:2] == _XBEGIN or (rest[0] == 0x0F and rest[1] in _JCC32):
        found, width = rest[:2], 4
    else:
        return None
    return _Relative(prefix, found, width) if len(rest) == len(found) + width else None


def _names_rip(insn: Insn) -> bool:
    return "[rip" in insn.op_str


@cache
def _displacement_at(raw: bytes) -> int:
    """Offset of the RIP-relative displacement in *raw*; 0 where capstone does not say or says something else."""
    found = next(_engine().disasm(raw, 0, 1), None)
    if found is None or (match := _RIP.search(found.op_str)) is None:
        return 0
    value = int(match[2] or "0", 0) * (-1 if match[1] == "-" else 1)
    at = int(found.disp_offset)
    return at if at and raw[at : at + 4] == (value & 0xFFFF_FFFF).to_bytes(4, "little") else 0


def plain(insn: Insn) -> bool:
    """See rewriters.moving.plain."""
    return (
        insn.target is None
        and insn.kind is not Kind.UNDECODED
        and "ip" not in insn.op_str
        and insn.mnemonic != "xbegin"
    )


def refers_to(insn: Insn) -> int | None:
    """The address *insn* names relative to its own; None if its bytes mean the same anywhere."""
    if insn.mnemonic == "xbegin":
        return insn.end + signed(int.from_bytes(insn.raw[-4:], "little"), 32)
    if insn.target is not None:
        return insn.target
    if not _names_rip(insn) or not (at := _displacement_at(insn.raw)):
        return None
    return insn.end + signed(int.from_bytes(insn.raw[at : at + 4], "little"), 32)


def problem(insn: Insn) -> str:
    """Why *insn* cannot be carried, whatever the addresses; "" if it can."""
    if insn.kind is Kind.UNDECODED:
        return "it does not decode"
    if "[eip" in insn.op_str:
        return "it takes the instruction pointer modulo 4 GiB"
    if insn.target is not None or insn.mnemonic == "xbegin":
        return "" if _branch(insn) else "it is a branch of an unknown form"
    if _names_rip(insn) and not _displacement_at(insn.raw):
        return "its displacement is not where the disassembler says"
    return ""


def size(insn: Insn) -> int:
    """Bytes of *insn* once carried, at whatever address."""
    branch = _branch(insn)
    if branch is None:
        return insn.size
    if branch.is_loop:
        return insn.size + 2 + 5
    return len(branch.prefix) + len(branch.long()) + 4


def carry(insn: Insn, new_pc: int, resolve: Resolve, scratch: str | None = None) -> Moved:
    """See rewriters.moving.carry.  No scratch register is ever needed."""
    if why := problem(insn):
        raise refuse(insn, why)
    old = refers_to(insn)
    if old is None:
        return verbatim(insn)
    target = resolve(old)
    branch = _branch(insn)
    if branch is None:
        return assembled([_operand(insn, new_pc, target)])
    if not branch.is_loop:
        return assembled([_direct(insn, branch.prefix + branch.long(), 4, new_pc, target)])
    over = new_pc + insn.size
    parts = [
        _direct(insn, branch.prefix + branch.opcode, 1, new_pc, over + 2),
        (b"\xeb\x05", f"jmp {number(over + 7)}"),
        encode.x86_jmp(over + 2, target),
    ]
    return assembled(parts)


def retarget(insn: Insn, new_pc: int, target: int) -> Moved:
    """See rewriters.moving.retarget."""
    if why := problem(insn):
        raise refuse(insn, why)
    if refers_to(insn) is None:
        raise refuse(insn, "it names no address")
    branch = _branch(insn)
    if branch is None:
        return assembled([_operand(insn, new_pc, target)])
    return assembled([_direct(insn, insn.raw[: -branch.width], branch.width, new_pc, target)])


def _direct(insn: Insn, start: bytes, width: int, pc: int, target: int) -> Encoded:
    distance = field(insn, target - (pc + len(start) + width), 8 * width, 1)
    return start + distance.to_bytes(width, "little"), _LAST_NUMBER.sub(number(target), insn.text)


def _operand(insn: Insn, pc: int, target: int) -> Encoded:
    """*insn* with its RIP-relative operand naming *target*; everything else byte for byte."""
    at = _displacement_at(insn.raw)
    distance = target - (pc + insn.size)
    value = field(insn, distance, 32, 1)
    shown = f"[rip {'-' if distance < 0 else '+'} {number(abs(distance))}]" if distance else "[rip]"
    return insn.raw[:at] + value.to_bytes(4, "little") + insn.raw[at + 4 :], _RIP.sub(shown, insn.text)
