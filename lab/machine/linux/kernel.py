"""The kernel of one guest process: decodes a system call, does it, answers, and writes it down."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, NamedTuple

from lab.arch import Arch
from lab.machine.cpu import register_ids
from lab.machine.linux import (
    calls_files,
    calls_folders,
    calls_legacy,
    calls_memory,
    calls_process,
    calls_signals,
    calls_status,
    calls_time,
)
from lab.machine.linux.clock import Clock
from lab.machine.linux.counters import hook_counters, reads_counters
from lab.machine.linux.descriptors import Descriptors, Output, Sink, Stdin
from lab.machine.linux.ended import Ended
from lab.machine.linux.frame import SIGSEGV, push_frame
from lab.machine.linux.numbers import REGISTERS, name_of
from lab.machine.linux.pages import Pages
from lab.machine.linux.paths import FileSystem
from lab.machine.linux.process import Process
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.signals import Delivery, Signals
from lab.machine.linux.table import CALLS
from lab.machine.linux.trace import Call, Recorder, Trace, shown
from lab.machine.linux.tree import copied
from lab.machine.linux.user import UserMemory
from lab.machine.linux.vectors import reset_vectors
from lab.machine.memory import GuestMemory
from lab.machine.outcome import End

_ENTERED = (
    *(calls_files, calls_folders, calls_legacy, calls_memory),
    *(calls_process, calls_signals, calls_status, calls_time),
)
"""Imported for the calls they enter in the table."""

_SYSCALL_BYTES = {"aarch64": 0, "x86_64": 2}
"""unicorn adds this to a program counter that is written during a system call."""


class Guest(NamedTuple):
    """What a kernel is given of its machine.  ``write`` writes guest memory and tells all that must know of it;
    ``on_delivery`` (return address, SP at the call) are told of a signal's handler about to run; ``trampoline`` is
    the address of code that makes the call rt_sigreturn, 0 where the architecture has none."""

    cpu: Any
    arch: Arch
    memory: GuestMemory
    write: Callable[[int, bytes], None]
    on_delivery: list[Callable[[int, int], None]]
    trampoline: int


class Kernel:
    """The system calls of one process.  ``call`` is what the machine calls at each."""

    def __init__(self, guest: Guest, process: Process) -> None:
        self.cpu, self.arch = guest.cpu, guest.arch
        self.process = process
        self.pages = Pages(guest.memory, guest.cpu.mem_protect, guest.write)
        self.user = UserMemory(guest.memory, self.pages, guest.write)
        self.clock = Clock()
        self.files = FileSystem(copied(process.files), self.clock)
        self.sink = Sink()
        self.descriptors = Descriptors(Stdin(process.stdin), Output(self.sink))
        self.signals = Signals(guest.trampoline)
        self.random = 0
        self.umask = 0o022
        self.ended: Ended | None = None
        self.remark = ""
        self.silent = False
        """Set by a call that a rewriter has put into the program: it maps a parallel shadow stack.  Not traced."""
        self.resumed = False
        """Set by a call that has set all registers itself."""
        self.late: list[Delivery] = []
        """Signals whose turn has come because a handler returned."""
        self._memory, self._write, self._on_delivery = guest.memory, guest.write, guest.on_delivery
        self._ids = register_ids(guest.arch)
        self._number, self._arguments, self._result = REGISTERS[guest.arch.name]
        self._recorder = Recorder()
        self._lag = _SYSCALL_BYTES[guest.arch.name]
        reset_vectors(self.cpu, self.arch)
        if self.arch.name == "aarch64" and reads_counters(guest.memory):
            hook_counters(self.cpu, self.clock)

    @property
    def output(self) -> bytes:
        """What the guest wrote to standard output and standard error so far."""
        return bytes(self.sink.data)

    @property
    def trace(self) -> Trace:
        """The calls so far."""
        return self._recorder.trace()

    def get(self, register: str) -> int:
        """A register's value; ``pc`` is that of the instruction after the call."""
        value = int(self.cpu.reg_read(self._ids[register]))
        return value + self._lag if register == "pc" else value

    def set(self, register: str, value: int) -> None:
        """Set a register; ``pc`` is where the guest goes on."""
        self.cpu.reg_write(self._ids[register], value - self._lag if register == "pc" else value)

    def fill(self, address: int, data: bytes) -> None:
        """Write the guest's memory whatever its rights: the kernel's own doing, not a copy the guest asked for."""
        self._write(address, data)

    def contents(self, address: int, size: int) -> bytes:
        """Read it in the same way."""
        return self._memory.read(address, size)

    def finish(self, end: End, status: int, detail: str) -> None:
        """The process ends with this call."""
        self.ended = Ended(end, status, detail)

    def call(self) -> Ended | None:
        """Do the call the guest's registers ask for; how the process ended by it, None where it goes on."""
        name = name_of(self.arch.name, self.get(self._number) & 0xFFFF_FFFF)
        raw = [self.get(register) for register in self._arguments]
        self.remark, self.resumed, self.silent = "", False, False
        texts: list[str] = []
        try:
            result = self._do(name, raw, texts)
            said = self._said(name, result)
        except Refusal as refusal:
            result, said = -refusal.number, refusal.name
            self.remark = refusal.note or self.remark
        if not self.silent:
            self._recorder.add(Call(name, tuple(texts), said, self.remark))
        if self.ended is None:
            if not self.resumed:
                self._answer(result)
            self._deliver()
        return self.ended

    def _do(self, name: str, raw: list[int], texts: list[str]) -> int:
        entry = CALLS.get(name)
        if entry is None:
            self._recorder.lacks(name)
            raise Refusal(errno.ENOSYS, "not in this Linux")
        arguments: list[int | bytes] = []
        for kind, value in zip(entry.kinds, raw, strict=False):
            argument, text = self._argument(kind, value)
            texts.append(text)
            arguments.append(argument)
        return entry.function(self, *arguments)

    def _argument(self, kind: str, value: int) -> tuple[int | bytes, str]:
        """The argument as its function takes it, and as the trace shows it."""
        match kind:
            case "int":
                number = _signed(value, 32)
                return number, str(number)
            case "flags":
                return value & 0xFFFF_FFFF, hex(value & 0xFFFF_FFFF)
            case "long":
                number = _signed(value, 64)
                return number, str(number)
            case "size":
                return value, str(value)
            case "path":
                path = self.user.string(value)
                return path, shown(path)
            case _:
                return value, self.place(value)

    def place(self, address: int) -> str:
        """The memory *address* lies in, by name."""
        mapping = self._memory.find(address)
        if mapping is not None:
            return mapping.name
        return "0" if address == 0 else "nowhere"

    def _said(self, name: str, result: int) -> str:
        """A result in the trace's words: a small number as it is, an address by its distance in the arena."""
        if name in {"mmap", "brk", "mremap"}:
            mapping = self._memory.find(result)
            return f"{mapping.name}+{result - mapping.start:#x}" if mapping else hex(result)
        return "" if self.resumed or self.ended is not None else str(result)

    def _answer(self, result: int) -> None:
        self.set(self._result, result & 0xFFFF_FFFF_FFFF_FFFF)
        if self.arch.name == "x86_64":  # the instruction itself does that (Intel SDM vol. 2, SYSCALL)
            self.set("rcx", self.get("pc"))
            self.set("r11", self.get("flags"))

    def _deliver(self) -> None:
        due = self.late + self.signals.due()
        self.late = []
        if not due:
            return
        *others, delivery = due
        if delivery.fatal:
            self.finish(End.SIGNAL, delivery.number, delivery.name)
            return
        try:
            ra, sp = push_frame(self, delivery)
        except Refusal:
            self.finish(End.SIGNAL, SIGSEGV, "SIGSEGV: no room for a signal's frame")
            return
        self.signals.postpone(sp - self.arch.call_pushes, others)
        for callback in self._on_delivery:
            callback(ra, sp)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
