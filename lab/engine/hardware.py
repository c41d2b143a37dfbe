"""The shadow stack that the processor itself would keep (Arm GCS, x86 CET), modelled: no instruction here does it.

A call pushes its return address; a return pops one and must go there.  It grows down; the pointer is at the newest
entry.  Where the processor would have faulted (a return to elsewhere, or with nothing on it; a call with no room) the
execution goes on, which no real one would, and it is counted; a return then pops down to the entry it goes to, as a
runtime that unwinds its shadow stack has done by then (a longjmp), and one entry where there is none such.  The
delivery of a signal pushes the address that its handler returns to.

Source: Arm ARM DDI 0487 (FEAT_GCS); Intel SDM vol. 1 ch. 17 (CET); Linux v6.13 Documentation/arch/arm64/gcs.rst and
Documentation/arch/x86/shstk.rst.
"""

from __future__ import annotations

import struct

from lab.arch.decode import Insn, Kind
from lab.errors import EngineError
from lab.machine.loading import HARDWARE_SHADOW
from lab.machine.machine import Machine

_NAME = "hardware shadow stack"
_RETURNS = frozenset({"ret", "retaa", "retab"})


def map_hardware_shadow(machine: Machine) -> None:
    """Storage as large as the stack, which is not in the guest's own memory.  EngineError where its place is taken."""
    size = machine.stack_high - machine.stack_low
    if any(m.start < HARDWARE_SHADOW + size and m.end > HARDWARE_SHADOW for m in machine.mappings):
        raise EngineError(f"{machine.image.path}: no place for a hardware shadow stack at {HARDWARE_SHADOW:#x}")
    machine.memory.add(HARDWARE_SHADOW, size, _NAME, writable=False, executable=False)


def hardware_shadow(machine: Machine) -> tuple[int, int]:
    """[base, limit) of it; (0, 0) without one."""
    return next(((m.start, m.end) for m in machine.mappings if m.name == _NAME), (0, 0))


def faults_note(faults: int) -> tuple[str, ...]:
    """What an execution says of *faults*; nothing of none."""
    text = f"hardware shadow stack: the processor would have faulted {faults} times, at the first of which it would end"
    return (text,) if faults else ()


class HardwareShadow:
    """The reference engine's model.  Without storage it does nothing and ``pointer`` is 0."""

    def __init__(self, machine: Machine) -> None:
        self._memory = machine.memory
        self._base, self._limit = hardware_shadow(machine)
        self.pointer = self._limit
        self.faults = 0
        self._returning = False

    def at(self, insn: Insn) -> None:
        """The instruction at hand, which is no call: whether it pops."""
        near = insn.kind is Kind.RETURN and insn.mnemonic.split()[-1] in _RETURNS
        self._returning = near and self._limit != 0

    def before(self, pc: int) -> None:
        """The instruction at *pc* is next: a return that came before it has popped."""
        if not self._returning:
            return
        self._returning = False
        if self.pointer == self._limit:
            self.faults += 1
            return
        at = self.pointer
        while at < self._limit and self._memory.load(at) != pc:
            at += 8
        self.faults += at != self.pointer
        self.pointer = (at if at < self._limit else self.pointer) + 8

    def push(self, ra: int) -> None:
        """A call has retired."""
        if self._limit == 0:
            return
        if self.pointer == self._base:
            self.faults += 1
            return
        self.pointer -= 8
        self._memory.write(self.pointer, struct.pack("<Q", ra))
