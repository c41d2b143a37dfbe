"""Functions that start a thread or process which shares this one's memory: clone, clone3, vfork by their numbers.

Numbers: Linux v6.13 include/uapi/asm-generic/unistd.h (AArch64), arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

from rewriters.census.origins import Origins
from rewriters.census.scan import Scan
from rewriters.census.unit import Place, Unit

CLONE_VM = 0x100
_CLONE = {"aarch64": 220, "x86_64": 56}
#: clone3 takes its flags from memory; x86-64 has vfork.
_ALWAYS = {"aarch64": frozenset({435}), "x86_64": frozenset({435, 58})}
_NUMBER, _FLAGS = {"aarch64": "x8", "x86_64": "rax"}, {"aarch64": "x0", "x86_64": "rdi"}


def shares_memory(unit_origins: Origins, scan: Scan, index: int) -> bool:
    """Whether the system call at *index* may make a child that runs in the same memory."""
    name = scan.arch.name
    number = unit_origins.constant(index, _NUMBER[name])
    if number is None:
        return False
    if number in _ALWAYS[name]:
        return True
    if number != _CLONE[name]:
        return False
    flags = unit_origins.constant(index, _FLAGS[name])
    return flags is None or bool(flags & CLONE_VM)


__all__ = ["CLONE_VM", "Place", "Unit", "shares_memory"]
