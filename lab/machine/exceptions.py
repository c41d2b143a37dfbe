"""What the processor itself does at an exception, for an image that has the small kernel (docs/kernel.md).

The host performs the *taking* of an exception, which unicorn never does by itself: registers, the frame the processor
pushes, masks, privilege, and where it continues.  Everything else unicorn 2.1 runs as it is, found by experiment:

* AArch64: ``eret`` with ELR_EL1 and SPSR_EL1 (to EL1 and to EL0), ``msr`` of them, of SP_EL0 and of DAIFSet/DAIFClr.
  From EL0, SP is banked: the host exchanges SP_EL0 and SP_EL1, since a write of PSTATE does not; and only a write of a
  system register after it makes unicorn look at the new exception level.
* x86-64: ``iretq`` to ring 0 and ring 3, ``sti``, ``cli`` and ``pushfq``, with descriptors in guest memory
  (``lab_gdt``) that the host points GDTR at.  From ring 3, no register the host can write changes the privilege: a
  write of CS or SS changes the selector only.  So the host goes back to a context that was saved in ring 0.
  ``hlt`` and ``pause`` would end the run; the kernel has neither.

``svc`` and ``syscall`` come to the host as hooks.  In user mode they are taken to the kernel; in kernel mode they ask
the host for what a hypervisor would give (output, the end of the run).

Sources: Arm ARM DDI 0487 D1.3 (exception entry); Intel SDM vol. 3, 6.14 (64-bit interrupt stack frame) and 5.8.8
(SYSCALL).  Not modelled: ESR and FAR, other vectors, the TSS but RSP0, swapgs, the one instruction after ``sti`` that
interrupts wait for, NMI and SError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from unicorn import arm64_const, x86_const

from lab.errors import EngineError, InputError
from lab.images.image import Image
from lab.machine.cpu import register_ids
from lab.machine.linux.vectors import load_vectors, save_vectors
from lab.machine.memory import GuestMemory

Write = Callable[[int, bytes], None]

DEVICE, TIMER = 0, 1
"""Sources of an interrupt (the guest's ``lab_irq_source``): a device, or the tick after which it may preempt."""

_IF = 1 << 9
_DAIF_I, _DAIF = 1 << 7, 0xF << 6
_EL1H = 5
_KEPT = 0xF << 28  # NZCV; the rest of PSTATE is cleared or set
_KERNEL_CS, _KERNEL_SS = 0x10, 0x28
_SYSCALL_BYTES = 2
_SFMASK = 0x47700  # TF, IF, DF, IOPL, NT, AC: what Linux has SYSCALL clear


def exceptions_of(
    cpu: Any, image: Image, memory: GuestMemory, write: Write, on_taken: list[Callable[[int, int], None]]
) -> Exceptions | None:
    """The exceptions of a machine with *image*, None where it has not the lab's kernel.  *write* is the machine's; each
    of *on_taken* is called with the interrupted pc and SP."""
    return Exceptions(cpu, image, memory, write, on_taken) if "vector_irq" in image.symbols else None


class Exceptions:
    """The exceptions of one machine with a kernel image; use it from a hook that runs before an instruction."""

    def __init__(
        self, cpu: Any, image: Image, memory: GuestMemory, write: Write, on_taken: list[Callable[[int, int], None]]
    ) -> None:
        self._cpu, self._image, self._memory, self._on_taken = cpu, image, memory, on_taken
        self._write = write  # not the memory's own: engines must hear of it
        self._ids = register_ids(image.arch)
        self._arm = image.arch.name == "aarch64"
        if not self._arm:
            low, high = self._symbol("lab_gdt"), self._symbol("lab_gdt_end")
            cpu.reg_write(x86_const.UC_X86_REG_GDTR, (0, low, high - low - 1, 0))
            cpu.reg_write(x86_const.UC_X86_REG_CS, _KERNEL_CS)
            cpu.reg_write(x86_const.UC_X86_REG_SS, _KERNEL_SS)
            self._ring_0 = cpu.context_save()

    def _symbol(self, name: str) -> int:
        address = self._image.symbols.get(name)
        if address is None:
            raise InputError(f"{self._image.path}: no symbol '{name}'; build it with the lab's kernel runtime")
        return address

    def _get(self, name: str) -> int:
        return int(self._cpu.reg_read(self._ids[name]))

    def _set(self, name: str, value: int) -> None:
        self._cpu.reg_write(self._ids[name], value)

    @property
    def in_user(self) -> bool:
        """Whether the processor is in user mode (EL0, ring 3)."""
        if self._arm:
            return not self._get("flags") & 0xC
        return bool(self._cpu.reg_read(x86_const.UC_X86_REG_CS) & 3)

    @property
    def masked(self) -> bool:
        """Whether interrupts are masked now."""
        return bool(self._get("flags") & _DAIF_I) if self._arm else not self._get("flags") & _IF

    @property
    def saved_state(self) -> int:
        """What the processor has saved of its state at the last exception: SPSR_EL1, or CS."""
        return int(self._cpu.cpr_read(3, 0, 4, 0, 0) if self._arm else self._cpu.reg_read(x86_const.UC_X86_REG_CS))

    def interrupt(self, source: int) -> int:
        """Take an interrupt from *source* before the instruction at hand; the address of the vector.

        EngineError where interrupts are masked: a processor would wait.
        """
        if self.masked:
            raise EngineError(f"{self._image.path}: interrupts are masked at {self._image.locate(self._get('pc'))}")
        self._write(self._symbol("lab_irq_source"), struct.pack("<Q", source))
        return self.take("irq")

    def take(self, kind: str) -> int:
        """Take an exception before the instruction at hand: "irq", or "sync" for a fault of it; the vector's address.

        The guest comes back to this instruction.  What listens for deliveries (``Machine.on_delivery``) is told.
        """
        pc, sp, user = self._get("pc"), self._get(self._image.arch.sp), self.in_user
        vector = self._symbol(f"vector_{kind}" + "_user" * user)
        (self._enter_arm if self._arm else self._enter_x86)(pc, sp, user=user)
        self._set("pc", vector)
        for callback in self._on_taken:
            callback(pc, sp)
        return vector

    def system_call(self) -> None:
        """Take the system call that user mode has just asked for (from unicorn's hook for it)."""
        pc, sp = self._get("pc"), self._get(self._image.arch.sp)
        vector = self._symbol("vector_sync_user")
        if self._arm:
            self._enter_arm(pc, sp, user=True)
            self._set("pc", vector)
        else:
            pc += _SYSCALL_BYTES
            flags = self._get("flags")
            self._set("rcx", pc)
            self._set("r11", flags)
            self._to_ring_0()
            self._set("flags", flags & ~_SFMASK)
            self._set("pc", vector - _SYSCALL_BYTES)  # unicorn adds the instruction's length after the hook
        for callback in self._on_taken:
            callback(pc, sp)

    def _enter_arm(self, pc: int, sp: int, *, user: bool) -> None:
        """PSTATE to SPSR_EL1, PC to ELR_EL1, EL1h with everything masked."""
        cpu, pstate = self._cpu, self._get("flags")
        cpu.reg_write(arm64_const.UC_ARM64_REG_ELR_EL1, pc)
        self._set("flags", pstate & _KEPT | _DAIF | _EL1H)
        if user:
            cpu.cpr_write(3, 0, 4, 1, 0, sp)  # SP_EL0
            self._set("sp", cpu.cpr_read(3, 4, 4, 1, 0))  # SP_EL1
        cpu.cpr_write(3, 0, 4, 0, 0, pstate)  # SPSR_EL1; last: it makes unicorn look at PSTATE

    def _enter_x86(self, pc: int, sp: int, *, user: bool) -> None:
        """Align RSP (RSP0 from user mode), push SS RSP RFLAGS CS RIP, clear IF and TF."""
        cpu, flags = self._cpu, self._get("flags")
        cs, ss = cpu.reg_read(x86_const.UC_X86_REG_CS), cpu.reg_read(x86_const.UC_X86_REG_SS)
        top = sp
        if user:
            top = self._memory.load(self._symbol("lab_tss_rsp0")) or 0
            self._to_ring_0()
        low = (top & ~15) - 40
        try:
            self._write(low, struct.pack("<5Q", pc, cs, flags, sp, ss))
        except InputError:
            raise EngineError(f"{self._image.path}: no stack for an exception at {self._image.locate(pc)}") from None
        self._set("rsp", low)
        self._set("flags", flags & ~(_IF | 1 << 8))

    def _to_ring_0(self) -> None:
        """The processor as it was in ring 0, with the registers it has now."""
        cpu, arch = self._cpu, self._image.arch
        registers = {name: self._get(name) for name in (*arch.gprs, "flags")}
        vectors = save_vectors(cpu, arch)
        cpu.context_restore(self._ring_0)
        load_vectors(cpu, arch, vectors)
        for name, value in registers.items():
            self._set(name, value)
