"""Floating-point and vector registers as a signal's frame has them.

Sources: Linux v6.1 arch/arm64/include/uapi/asm/sigcontext.h (struct fpsimd_context); Intel SDM vol. 1, 10.5.1 (FXSAVE).
"""

from __future__ import annotations

import struct
from typing import Any

from unicorn import arm64_const, x86_const

from lab.arch import Arch

_FPSIMD_MAGIC, _FPSIMD_SIZE = 0x4650_8001, 528
_MASK128 = (1 << 128) - 1
_XMM = tuple(getattr(x86_const, f"UC_X86_REG_XMM{i}") for i in range(16))
_ST = tuple(getattr(x86_const, f"UC_X86_REG_FP{i}") for i in range(8))
_Q = tuple(getattr(arm64_const, f"UC_ARM64_REG_Q{i}") for i in range(32))


def save_vectors(cpu: Any, arch: Arch) -> bytes:
    """The state: AArch64 an fpsimd_context (528 bytes), x86-64 an FXSAVE area (512 bytes)."""
    return _save_fpsimd(cpu) if arch.name == "aarch64" else _save_fx(cpu)


def load_vectors(cpu: Any, arch: Arch, data: bytes) -> None:
    """The reverse.  On AArch64 nothing is loaded where the context is another one."""
    if arch.name == "x86_64":
        _load_fx(cpu, data)
    elif struct.unpack_from("<II", data) == (_FPSIMD_MAGIC, _FPSIMD_SIZE):
        _load_fpsimd(cpu, data)


def reset_vectors(cpu: Any, arch: Arch) -> None:
    """What a new process has: on x86-64 unicorn starts with other control words than Linux."""
    if arch.name == "x86_64":
        cpu.reg_write(x86_const.UC_X86_REG_FPCW, 0x37F)
        cpu.reg_write(x86_const.UC_X86_REG_FPSW, 0)
        cpu.reg_write(x86_const.UC_X86_REG_FPTAG, 0xFFFF)
        cpu.reg_write(x86_const.UC_X86_REG_MXCSR, 0x1F80)


def _save_fpsimd(cpu: Any) -> bytes:
    control = (cpu.reg_read(arm64_const.UC_ARM64_REG_FPSR), cpu.reg_read(arm64_const.UC_ARM64_REG_FPCR))
    head = struct.pack("<IIII", _FPSIMD_MAGIC, _FPSIMD_SIZE, *control)
    return head + b"".join((cpu.reg_read(q) & _MASK128).to_bytes(16, "little") for q in _Q)


def _load_fpsimd(cpu: Any, data: bytes) -> None:
    status, control = struct.unpack_from("<II", data, 8)
    cpu.reg_write(arm64_const.UC_ARM64_REG_FPSR, status)
    cpu.reg_write(arm64_const.UC_ARM64_REG_FPCR, control)
    for index, q in enumerate(_Q):
        cpu.reg_write(q, int.from_bytes(data[16 + 16 * index : 32 + 16 * index], "little"))


def _save_fx(cpu: Any) -> bytes:
    read = cpu.reg_read
    tags = read(x86_const.UC_X86_REG_FPTAG)
    full = sum(1 << i for i in range(8) if tags >> 2 * i & 3 != 3)
    control = (read(x86_const.UC_X86_REG_FPCW), read(x86_const.UC_X86_REG_FPSW))
    area = bytearray(512)
    struct.pack_into("<HHBx", area, 0, *control, full)
    struct.pack_into("<II", area, 24, read(x86_const.UC_X86_REG_MXCSR), 0xFFFF)
    top = control[1] >> 11 & 7
    for index in range(8):  # FXSAVE has them in the order of the stack
        mantissa, exponent = read(_ST[(top + index) % 8])
        struct.pack_into("<QH", area, 32 + 16 * index, mantissa, exponent)
    for index, xmm in enumerate(_XMM):
        area[160 + 16 * index : 176 + 16 * index] = (read(xmm) & _MASK128).to_bytes(16, "little")
    return bytes(area)


def _load_fx(cpu: Any, data: bytes) -> None:
    write = cpu.reg_write
    control, status, full = struct.unpack_from("<HHB", data)
    top = status >> 11 & 7
    write(x86_const.UC_X86_REG_FPCW, control)
    write(x86_const.UC_X86_REG_FPSW, status)
    for index in range(8):
        write(_ST[(top + index) % 8], struct.unpack_from("<QH", data, 32 + 16 * index))
    write(x86_const.UC_X86_REG_FPTAG, sum(3 << 2 * i for i in range(8) if not full >> i & 1))
    write(x86_const.UC_X86_REG_MXCSR, struct.unpack_from("<I", data, 24)[0] & 0xFFFF)
    for index, xmm in enumerate(_XMM):
        write(xmm, int.from_bytes(data[160 + 16 * index : 176 + 16 * index], "little"))
