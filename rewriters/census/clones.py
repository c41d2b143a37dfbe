"""Functions that start a thread or process which shares this one's memory: clone, clone3, vfork by their numbers.

Numbers: Linux v6.13 include/uapi/asm-generic/unistd.h (AArch64), arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

from rewriters.census.origins import Origins
from rewriters.census.scan import Scan

_CLONE_VM = 0x100
_CLONE = {"aarch64": 220, "x86_64": 56}
#: clone3 takes its flags from memory; x86-64 has a vfork.
_ALWAYS = {"aarch64": frozenset({435}), "x86_64": frozenset({435, 58})}
_NUMBER, _FLAGS = {"aarch64": "x8", "x86_64": "rax"}, {"aarch64": "x0", "x86_64": "rdi"}


def clone_numbers(arch_name: str) -> frozenset[int]:
    """System-call numbers worth a look."""
    return _ALWAYS[arch_name] | {_CLONE[arch_name]}


def shares_memory(origins: Origins, scan: Scan, index: int) -> bool:
    """Whether the system call at *index* may make a child that runs in the same memory."""
    name = scan.arch.name
    number = origins.constant(index, _NUMBER[name])
    if number != _CLONE[name]:
        return number in _ALWAYS[name]
    flags = origins.constant(index, _FLAGS[name])
    return flags is None or bool(flags & _CLONE_VM)
