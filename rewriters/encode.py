"""Encoders of the pc-relative forms, which keystone gets wrong or rejects, and one reader of everything.

Each returns (bytes, text): *text* is what capstone must print for them at that address.
Sources: Arm ARM DDI 0487 C6.2 (B, ADRP, CBZ); Intel SDM vol. 2 (JMP, Jcc, MOV, ADD, SUB, LEA).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from lab.arch import Arch
from lab.arch.decode import Insn, decode
from lab.errors import EngineError, RefusedError

Encoded = tuple[bytes, str]

#: ``brk #1``, ``int3``, ``bti c`` and ``ret`` (Arm ARM C6.2 BRK, BTI, RET; Intel SDM INT3).
A64_TRAP, X86_TRAP = bytes.fromhex("200020d4"), b"\xcc"
BTI_C = bytes.fromhex("5f2403d5")
A64_RET: Encoded = (bytes.fromhex("c0035fd6"), "ret")

_X86_REGISTERS = {name: i for i, name in enumerate(["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"])}
_X86_REGISTERS |= {f"r{i}": i for i in range(8, 16)}
_GROUP1 = {"add": 0, "sub": 5}


def number(value: int) -> str:
    """An immediate as capstone prints it: decimal up to 9, hexadecimal above."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    return f"{sign}{size:#x}" if size > 9 else f"{sign}{size}"


def _field(value: int, bits: int, scale: int, what: str) -> int:
    """*value* / *scale* as a signed field of *bits*; RefusedError if it is misaligned or out of reach."""
    if value % scale or not -(1 << (bits - 1)) <= value // scale < 1 << (bits - 1):
        raise RefusedError(f"{what} cannot reach {value:+#x} bytes; the image is too large for this rewrite")
    return (value // scale) & ((1 << bits) - 1)


def _x(register: str) -> int:
    return int(register.removeprefix("x"))


def a64_b(pc: int, target: int) -> Encoded:
    """``b target``: within 128 MiB."""
    word = 0x1400_0000 | _field(target - pc, 26, 4, "b")
    return word.to_bytes(4, "little"), f"b #{number(target)}"


def a64_adrp(pc: int, register: str, target: int) -> Encoded:
    """``adrp register, page of target``: within 4 GiB."""
    page = _field((target & ~0xFFF) - (pc & ~0xFFF), 21, 0x1000, "adrp")
    word = 0x9000_0000 | (page & 3) << 29 | (page >> 2) << 5 | _x(register)
    return word.to_bytes(4, "little"), f"adrp {register}, #{number(target & ~0xFFF)}"


def a64_cbz(pc: int, register: str, target: int) -> Encoded:
    """``cbz register, target``: within 1 MiB."""
    word = 0xB400_0000 | _field(target - pc, 19, 4, "cbz") << 5 | _x(register)
    return word.to_bytes(4, "little"), f"cbz {register}, #{number(target)}"


def x86_jmp(pc: int, target: int) -> Encoded:
    """``jmp rel32``: within 2 GiB."""
    return b"\xe9" + _rel32(pc + 5, target, "jmp"), f"jmp {number(target)}"


def authenticate(insn: Insn) -> Encoded:
    """The first half of ``retaa`` or ``retab``: ``autiasp`` or ``autibsp``, in x30 (Arm ARM C6.2 RETAA)."""
    return {"retaa": (bytes.fromhex("bf2303d5"), "autiasp"), "retab": (bytes.fromhex("ff2303d5"), "autibsp")}[
        insn.mnemonic
    ]


def jump(arch: Arch, pc: int, target: int) -> Encoded:
    """The unconditional direct jump of *arch*: 4 bytes on AArch64, 5 on x86-64."""
    return a64_b(pc, target) if arch.lr is not None else x86_jmp(pc, target)


def x86_je(pc: int, target: int) -> Encoded:
    """``je rel8``."""
    return b"\x74" + _field(target - (pc + 2), 8, 1, "je").to_bytes(1, "little"), f"je {number(target)}"


def x86_mov_load(pc: int, register: str, target: int) -> Encoded:
    """``mov register, qword ptr [rip + target]``."""
    return _rip(pc, 0x8B, register, target, f"mov {register}, qword ptr [{{}}]")


def x86_mov_store(pc: int, register: str, target: int) -> Encoded:
    """``mov qword ptr [rip + target], register``."""
    return _rip(pc, 0x89, register, target, f"mov qword ptr [{{}}], {register}")


def x86_lea(pc: int, register: str, target: int) -> Encoded:
    """``lea register, [rip + target]``."""
    return _rip(pc, 0x8D, register, target, f"lea {register}, [{{}}]")


def x86_adjust(pc: int, mnemonic: str, target: int, amount: int) -> Encoded:
    """``add`` or ``sub`` ``qword ptr [rip + target], amount`` (amount 0..127)."""
    if not 0 <= amount < 128:
        raise EngineError(f"{mnemonic} [rip], {amount}: not an 8-bit amount")
    end = pc + 8
    code = bytes([0x48, 0x83, _GROUP1[mnemonic] << 3 | 5]) + _rel32(end, target, mnemonic) + bytes([amount])
    return code, f"{mnemonic} qword ptr [{_rip_text(target - end)}], {number(amount)}"


def _rip(pc: int, opcode: int, register: str, target: int, text: str) -> Encoded:
    index = _X86_REGISTERS[register]
    end = pc + 7
    code = bytes([0x48 | (index >> 3) << 2, opcode, (index & 7) << 3 | 5]) + _rel32(end, target, "rip-relative")
    return code, text.format(_rip_text(target - end))


def _rip_text(displacement: int) -> str:
    if displacement == 0:
        return "rip"
    return f"rip {'-' if displacement < 0 else '+'} {number(abs(displacement))}"


def _rel32(end: int, target: int, what: str) -> bytes:
    return _field(target - end, 32, 1, what).to_bytes(4, "little")


@cache
def _keystone(name: str) -> Any:
    import keystone

    if name == "aarch64":
        return keystone.Ks(keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN)
    return keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_64)


def template(arch: Arch, text: str) -> bytes:
    """One position-independent instruction through keystone, cached by text.  EngineError if it gives nothing."""
    return _template(arch.name, text)


@cache
def _template(name: str, text: str) -> bytes:
    import keystone

    try:
        code, _ = _keystone(name).asm(text, 0)
    except keystone.KsError as error:
        raise EngineError(f"keystone rejects '{text}' for {name}: {error}") from error
    if not code:
        raise EngineError(f"keystone gives no bytes for '{text}' on {name}")
    return bytes(code)


def read_back(arch: Arch, code: bytes, address: int, text: str) -> bytes:
    """*code*, after capstone has read it back as exactly *text*; EngineError if it reads anything else."""
    got = [insn.text for insn in decode(arch, code, address)]
    if got != [text]:
        raise EngineError(f"assembled '{text}' at {address:#x} but the bytes {code.hex()} read back as {got}")
    return code
