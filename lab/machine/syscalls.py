"""The three system calls of a freestanding guest: write to descriptors 1 and 2 (a bounded buffer), exit, exit_group.

Every other number returns -ENOSYS: no file, clock or address of the host is reachable.
"""

from __future__ import annotations

from typing import Any

from lab.arch import Arch
from lab.machine.cpu import register_ids
from lab.machine.linux.ended import Ended
from lab.machine.linux.trace import Trace
from lab.machine.memory import GuestMemory
from lab.machine.outcome import End

OUTPUT_LIMIT = 1 << 20
ENOSYS = 38

#: Linux system-call numbers (asm-generic/unistd.h; x86 syscall_64.tbl): write, exit, exit_group.
_SYSCALLS = {
    "aarch64": ({64: "write", 93: "exit", 94: "exit"}, ("x8", "x0", "x1", "x2"), "x0"),
    "x86_64": ({1: "write", 60: "exit", 231: "exit"}, ("rax", "rdi", "rsi", "rdx"), "rax"),
}


class SystemCalls:
    """The system calls of one machine; ``output`` is what the guest wrote so far."""

    def __init__(self, cpu: Any, arch: Arch, memory: GuestMemory) -> None:
        self.output = bytearray()
        self._cpu = cpu
        self._memory = memory
        self._ids = register_ids(arch)
        self._calls, (self._number, *self._arguments), self._result = _SYSCALLS[arch.name]

    @property
    def trace(self) -> Trace | None:
        """None is kept."""
        return None

    def call(self) -> Ended | None:
        """Do the call the guest's registers ask for.  How it ended the guest, else None."""
        cpu, ids = self._cpu, self._ids
        number = cpu.reg_read(ids[self._number])
        first, address, size = (cpu.reg_read(ids[name]) for name in self._arguments)
        match self._calls.get(number):
            case "exit":
                return Ended(End.EXIT, int(first) & 0xFF, "")
            case "write" if first in {1, 2} and len(self.output) + size <= OUTPUT_LIMIT:
                data = self._memory.read(address, size)
                self.output += data
                cpu.reg_write(ids[self._result], len(data))
            case _:
                cpu.reg_write(ids[self._result], (1 << 64) - ENOSYS)
        return None
