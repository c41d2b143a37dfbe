"""unicorn's processors as the lab uses them: register numbers, and set-up before the first instruction.

Pointer authentication really signs.  It needs CPU model MAX, SCR_EL3 and HCR_EL2 set so that keys and
instructions are not trapped, and SCTLR_EL1.EnIA (Arm ARM D19.2, SCR_EL3.{API,APK}, HCR_EL2.{API,APK}).
"""

from __future__ import annotations

import ctypes
from typing import Any

import unicorn
from unicorn import arm64_const, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from lab.arch import Arch

_PAC_KEY = (0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210)


def new_cpu(arch: Arch) -> Any:
    """A unicorn engine for *arch*, ready to map memory into."""
    if arch.name == "x86_64":
        return unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    cpu = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    cpu.ctl_set_cpu_model(arm64_const.UC_CPU_ARM64_MAX)
    cpu.cpr_write(3, 6, 1, 1, 0, 1 << 17 | 1 << 16 | 1 << 10 | 1)  # SCR_EL3: API, APK, RW, NS
    cpu.cpr_write(3, 4, 1, 1, 0, 1 << 41 | 1 << 40 | 1 << 31)  # HCR_EL2: API, APK, RW
    sctlr = cpu.cpr_read(3, 0, 1, 0, 0)
    cpu.cpr_write(3, 0, 1, 0, 0, sctlr | 1 << 31)  # SCTLR_EL1.EnIA
    cpu.cpr_write(3, 0, 2, 1, 0, _PAC_KEY[0])  # APIAKeyLo_EL1
    cpu.cpr_write(3, 0, 2, 1, 1, _PAC_KEY[1])  # APIAKeyHi_EL1
    cpu.cpr_write(3, 0, 1, 0, 2, cpu.cpr_read(3, 0, 1, 0, 2) | 3 << 20)  # CPACR_EL1.FPEN: no SIMD trap
    return cpu


def register_ids(arch: Arch) -> dict[str, int]:
    """Canonical register name -> unicorn's number, with ``pc`` and ``flags``."""
    if arch.name == "x86_64":
        ids = {name: getattr(x86_const, f"UC_X86_REG_{name.upper()}") for name in arch.gprs}
        return ids | {"pc": x86_const.UC_X86_REG_RIP, "flags": x86_const.UC_X86_REG_EFLAGS}
    ids = {name: getattr(arm64_const, f"UC_ARM64_REG_{name.upper()}") for name in arch.gprs}
    return ids | {"pc": arm64_const.UC_ARM64_REG_PC, "flags": arm64_const.UC_ARM64_REG_PSTATE}


def set_thread_pointer(cpu: Any, value: int) -> None:
    """Set x86-64's FS base, which its programs cannot set themselves; AArch64's write TPIDR_EL0."""
    cpu.reg_write(x86_const.UC_X86_REG_FS_BASE, value)


class RegisterFile:
    """Reads a fixed set of registers in one call.

    unicorn's own ``reg_read_batch`` builds its ctypes arrays anew at every call and costs six times as
    much; at one call an instruction that decides the reference engine's speed.
    """

    def __init__(self, cpu: Any, arch: Arch, names: tuple[str, ...]) -> None:
        ids = register_ids(arch)
        self.names = names
        self._cpu = cpu
        count = len(names)
        self._ids = (ctypes.c_int * count)(*(ids[name] for name in names))
        self._values = (ctypes.c_uint64 * count)()
        base = ctypes.addressof(self._values)
        self._pointers = (ctypes.c_void_p * count)(*(base + 8 * i for i in range(count)))
        self._count = count
        self._handle = cpu._uch
        self._call = uclib.uc_reg_read_batch

    def read(self) -> list[int]:
        """The values in the order of ``names``."""
        self._call(self._handle, self._ids, self._pointers, self._count)
        return self._values[:]
