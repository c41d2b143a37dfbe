"""The shadow stacks that the processor itself would keep (Arm GCS, x86 CET), modelled: no instruction here does it.

A call pushes its return address; a return pops one and must go there.  A stack grows down; the pointer is at the newest
entry.  Where the processor would have faulted (a return to elsewhere, or with nothing on it; a call with no room) the
execution goes on, which no real one would, and it is counted; a return then pops down to the entry it goes to, as a
runtime that unwinds its shadow stack has done by then (a longjmp), and one entry where there is none such.  The
delivery of a signal pushes the address that its handler returns to.

A guest with several stacks has one for each task, and one for user mode.  The pointer changes with SP: the context
switch's doing (GCSPR_EL1; SAVEPREVSSP and RSTORSSP, whose token nobody reads here), and at entry from user mode the
processor's (GCSPR_EL0 and GCSPR_EL1 are two registers; IA32_PL0_SSP).  A new task's begins with the address its first
switch returns to.  Code on the interrupt stack goes on with that of the task it interrupted: neither processor changes
it when software moves SP, and the kernel here does not (Arm notes that it may).  An exception taken in the kernel
pushes a record, which the return from it takes away again, and is counted where that goes elsewhere:

    CET, by the processor:                 [p] old SSP   [p + 8] LIP   [p + 16] CS
    GCS, by GCSPUSHX early in the entry:   [p] 9         [p + 8] ELR   [p + 16] SPSR   [p + 24] LR

One taken in user mode pushes none; until SP is the kernel's the pointer is 0, as SYSCALL leaves it.

Not modelled: the instructions between an exception's entry and GCSPUSHX, or between GCSPOPCX and ERET (the record is
there from the first to the last); PSTATE.EXLOCK; supervisor tokens and their busy bits; the interrupt stack table's own
shadow stacks; that CET does not push a near call to the next instruction.

Sources: Arm ARM DDI 0487, D11.4 (GCSPUSHX, GCSPOPCX; the record's layout); Intel SDM vol. 1 ch. 17 and vol. 2, INT n
(intra-privilege-level interrupts), IRET, SAVEPREVSSP; Linux v6.13 Documentation/arch/arm64/gcs.rst and
Documentation/arch/x86/shstk.rst.  Linux uses neither for the kernel itself.
"""

from __future__ import annotations

import struct

from lab.arch.decode import Insn, Kind
from lab.errors import EngineError
from lab.machine.loading import HARDWARE_SHADOW
from lab.machine.machine import Machine
from lab.machine.stacks import GuestStack, StackKind, guest_stacks

_NAME = "hardware shadow stack"
_PAGE = 4096
_RETURNS = frozenset({"ret", "retaa", "retab"})
EXCEPTION_RETURNS = frozenset({"eret", "eretaa", "eretab", "iretq"})
GCS_RECORD = 9
"""The lowest word of an exception's record on a Guarded Control Stack."""


def map_hardware_shadow(machine: Machine) -> None:
    """Storage for every shadow stack, which is not in the guest's own memory.  EngineError where its place is taken."""
    size = _places(machine)[-1][1] - HARDWARE_SHADOW
    if any(m.start < HARDWARE_SHADOW + size and m.end > HARDWARE_SHADOW for m in machine.mappings):
        raise EngineError(f"{machine.image.path}: no place for a hardware shadow stack at {HARDWARE_SHADOW:#x}")
    machine.memory.add(HARDWARE_SHADOW, size, _NAME, writable=False, executable=False)


def _places(machine: Machine) -> list[tuple[int, int]]:
    """[base, limit) for each guest stack, as large as it and the interrupt stacks together; a page between two."""
    stacks = guest_stacks(machine.image, (machine.stack_low, machine.stack_high))
    more = sum(stack.high - stack.low for stack in stacks if stack.kind is StackKind.IRQ)
    found, base = [], HARDWARE_SHADOW
    for stack in stacks:
        limit = base + (stack.high - stack.low + more + _PAGE - 1) // _PAGE * _PAGE
        found.append((base, limit))
        base = limit + _PAGE
    return found


def hardware_shadow(machine: Machine) -> tuple[int, int]:
    """[base, limit) of the one in use at the start; (0, 0) without any."""
    mapped = any(mapping.name == _NAME for mapping in machine.mappings)
    return _places(machine)[0] if mapped else (0, 0)


def faults_note(faults: int) -> tuple[str, ...]:
    """What an execution says of *faults*; nothing of none."""
    text = f"hardware shadow stack: the processor would have faulted {faults} times, at the first of which it would end"
    return (text,) if faults else ()


class HardwareStacks:
    """What is rare, for both engines: which shadow stack is in use, and what exceptions put there and take away.

    ``now``: the number of the guest stack whose it is.  The pointer is the engine's own, given and given back.
    """

    def __init__(self, machine: Machine, stacks: tuple[GuestStack, ...]) -> None:
        self._machine, self._stacks = machine, stacks
        self.mapped = any(mapping.name == _NAME for mapping in machine.mappings)
        self._places = _places(machine) if self.mapped else [(0, 0)] * len(stacks)
        self._parked = [limit for _, limit in self._places]
        self._used = {0}
        self.now = self._on = 0
        self.faults = 0
        self._left_user = False

    def place(self, index: int) -> tuple[int, int]:
        """[base, limit) of the one that code on stack number *index* uses."""
        return self._places[self.now if self._stacks[index].kind is StackKind.IRQ else index]

    def enter(self, index: int, pointer: int, resumed_at: int | None) -> int:
        """SP moves to stack number *index*, *pointer* being that of the shadow stack in use; the new one's.
        *resumed_at*: where a task that has not run yet begins, None if it is no such."""
        self._on = index
        if self._stacks[index].kind is StackKind.IRQ or index == self.now or not self.mapped:
            return pointer
        if not self._left_user:
            self._parked[self.now] = pointer
        self._left_user = False
        self.now, pointer = index, self._parked[index]
        if index not in self._used and resumed_at is not None:
            pointer = self._push(pointer, (resumed_at,))
        self._used.add(index)
        return pointer

    def is_new(self, index: int) -> bool:
        """Whether the shadow stack of stack number *index* has not been in use."""
        return index not in self._used

    def taken(self, pc: int, pointer: int) -> int:
        """An exception has been taken at *pc*; the pointer afterwards."""
        exceptions = self._machine.exceptions
        if not self.mapped or exceptions is None:
            return pointer
        if self._stacks[self._on].kind is StackKind.USER:
            self._parked[self.now], self._left_user = pointer, True
            return 0
        state, arch = exceptions.saved_state, self._machine.arch
        if arch.lr is None:
            return self._push(pointer, (pointer, pc, state))
        return self._push(pointer, (GCS_RECORD, pc, state, self._machine.registers()[arch.lr]))

    def _push(self, pointer: int, words: tuple[int, ...]) -> int:
        base, limit = self._places[self.now]
        if not base <= pointer - 8 * len(words) < limit:
            self.faults += 1
            return pointer
        pointer -= 8 * len(words)
        self._machine.memory.write(pointer, struct.pack(f"<{len(words)}Q", *words))
        return pointer

    def returned(self, pc: int, pointer: int) -> int:
        """A return from an exception has gone to *pc*; the pointer afterwards."""
        if not self.mapped or self._stacks[self._on].kind is StackKind.USER:
            return pointer
        base, limit = self._places[self.now]
        for at in range(pointer, limit, 8) if base <= pointer else ():
            found = self._record(at)
            if found is not None and found[0] == pc:
                self.faults += at != pointer
                return found[1]
        self.faults += 1
        return pointer

    def _record(self, at: int) -> tuple[int, int] | None:
        """(interrupted pc, the pointer before) of the exception's record at *at*; None where there is none."""
        load, (base, limit) = self._machine.memory.load, self._places[self.now]
        first, pc = load(at), load(at + 8)
        if first is None or pc is None:
            return None
        if first == GCS_RECORD:
            return pc, at + 32
        return (pc, first) if at + 24 <= first <= limit and base <= at else None

    def parked(self, index: int, pc: int) -> int:
        """Of a task that is switched out: the pointer as where it goes on, at *pc*, so without that entry."""
        if not self.mapped:
            return 0
        return popped(self._machine, self._parked[index], self._places[index], pc)[0]


def popped(machine: Machine, pointer: int, place: tuple[int, int], pc: int) -> tuple[int, bool]:
    """(the pointer after a return to *pc*, whether the processor would have done it).  *place*: [base, limit)."""
    base, limit = place
    if not base <= pointer < limit:
        return pointer, False
    at = pointer
    while at < limit and machine.memory.load(at) != pc:
        at += 8
    return (at if at < limit else pointer) + 8, at == pointer


class HardwareShadow:
    """The reference engine's model.  Without storage it does nothing and ``pointer`` is 0."""

    def __init__(self, machine: Machine, stacks: HardwareStacks) -> None:
        self._machine, self._stacks = machine, stacks
        self._base, self._limit = stacks.place(0)
        self.pointer = self._limit
        self._faults = 0
        self._returning = ""

    @property
    def faults(self) -> int:
        """How often the processor would have faulted."""
        return self._faults + self._stacks.faults

    def at(self, insn: Insn) -> None:
        """The instruction at hand, which is no call: whether it pops."""
        name = insn.mnemonic.split()[-1]
        pops = (insn.kind is Kind.RETURN and name in _RETURNS) or name in EXCEPTION_RETURNS
        self._returning = name if pops and self._limit != 0 else ""

    def before(self, pc: int) -> None:
        """The instruction at *pc* is next: a return that came before it has popped."""
        name, self._returning = self._returning, ""
        if name in EXCEPTION_RETURNS:
            self.pointer = self._stacks.returned(pc, self.pointer)
        elif name:
            self.pointer, fine = popped(self._machine, self.pointer, (self._base, self._limit), pc)
            self._faults += not fine

    def push(self, ra: int) -> None:
        """A call has retired."""
        if self._limit == 0:
            return
        if not self._base < self.pointer <= self._limit:
            self._faults += 1
            return
        self.pointer -= 8
        self._machine.memory.write(self.pointer, struct.pack("<Q", ra))

    def enter(self, index: int, resumed_at: int | None) -> None:
        """SP has moved to guest stack number *index*; see ``HardwareStacks.enter``."""
        self.pointer = self._stacks.enter(index, self.pointer, resumed_at)
        self._base, self._limit = self._stacks.place(index)

    def taken(self, pc: int) -> None:
        """An exception has been taken at *pc*."""
        self.pointer = self._stacks.taken(pc, self.pointer)
