"""A kernel without a program: system calls made by the test itself, through the registers a guest would set."""

from __future__ import annotations

import struct
from pathlib import Path

import unicorn

from lab.arch import arch_by_name
from lab.machine.cpu import new_cpu, register_ids
from lab.machine.linux.kernel import Guest, Kernel
from lab.machine.linux.numbers import NAMES, REGISTERS
from lab.machine.linux.pages import SHADOW_NAME
from lab.machine.linux.process import Process
from lab.machine.linux.refusal import NAMES as ERRORS
from lab.machine.linux.start import map_arena
from lab.machine.memory import PAGE, GuestMemory

SCRATCH, SCRATCH_SIZE = 0x10_0000, 64 << 10
CODE = 0x20_0000
SHADOW = 0x28_0000
HOLE = 0x30_0000
"""Nothing is mapped there."""
AT_FDCWD = -100


class Driver:
    """``call`` by name; bytes among the arguments are put into scratch memory, and their address is passed."""

    def __init__(self, arch: str, root: Path | None = None, stdin: bytes = b"") -> None:
        self.arch = arch_by_name(arch)
        self.memory = GuestMemory()
        self.memory.add(SCRATCH, SCRATCH_SIZE, "stack", writable=True, executable=False)
        self.memory.add(CODE, PAGE, "image", writable=False, executable=True)
        map_arena(self.memory)
        self.memory.add(SHADOW, 16 * PAGE, SHADOW_NAME, writable=True, executable=False)
        self.cpu = new_cpu(self.arch)
        for mapping in self.memory.mappings:
            size = mapping.end - mapping.start
            self.cpu.mem_map_ptr(mapping.start, size, unicorn.UC_PROT_ALL, mapping.host_address)
        self.delivered: list[tuple[int, int]] = []
        guest = Guest(
            self.cpu,
            self.arch,
            self.memory,
            self.memory.write,
            [lambda ra, sp: self.delivered.append((ra, sp))],
            CODE if arch == "aarch64" else 0,
        )
        self.kernel = Kernel(guest, Process(("test",), (), stdin, root))
        self.numbers = {name: number for number, name in NAMES[arch].items()}
        self.ids = register_ids(self.arch)
        self.set(self.arch.sp, SCRATCH + SCRATCH_SIZE - PAGE)
        self._free = SCRATCH + 0x4000

    def set(self, register: str, value: int) -> None:
        self.cpu.reg_write(self.ids[register], value & (1 << 64) - 1)

    def get(self, register: str) -> int:
        return int(self.cpu.reg_read(self.ids[register]))

    def put(self, data: bytes) -> int:
        """*data* and a NUL in scratch memory; its address."""
        at = self._free
        self.memory.write(at, data + b"\0")
        self._free = at + len(data) + 16 & ~15
        if self._free > SCRATCH + 0x8000:
            self._free = SCRATCH + 0x4000
        return at

    def call(self, name: str | int, *arguments: int | bytes) -> int:
        """The result, negative for an error."""
        number, registers, result = REGISTERS[self.arch.name]
        self.set(number, name if isinstance(name, int) else self.numbers[name])
        for register, argument in zip(registers, (*arguments, *6 * (0,)), strict=False):
            self.set(register, self.put(argument) if isinstance(argument, bytes) else argument)
        self.kernel.call()
        value = self.get(result)
        return value - (1 << 64) if value >> 63 else value

    def error(self, name: str | int, *arguments: int | bytes) -> str:
        """The error's name, "" where there is none."""
        result = self.call(name, *arguments)
        return ERRORS[-result] if -4096 < result < 0 else ""

    def open(self, path: bytes, flags: int = 0, mode: int = 0o644) -> int:
        return self.call("openat", AT_FDCWD, path, flags, mode)

    def contents(self, path: bytes) -> bytes:
        """A file's contents; AssertionError where it cannot be opened."""
        number = self.open(path)
        assert number >= 0, ERRORS[-number]
        size = self.call("read", number, SCRATCH, 0x4000)
        self.call("close", number)
        return self.memory.read(SCRATCH, size)

    def words(self, address: int, layout: str) -> tuple[int, ...]:
        return struct.unpack(f"<{layout}", self.memory.read(address, struct.calcsize(f"<{layout}")))
