"""The guest's general registers as one block of words that native code reads by its host address.

Either the block is unicorn's own (``pointer``) and always current, or a copy (``batch``) which one call of
``uc_reg_read_batch`` brings up to date.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from unicorn.unicorn_py3.unicorn import uclib

from lab.arch import Arch
from lab.machine.cpu import register_ids
from lab.machine.pointer import block_order, find_register_block


class BatchRegisters:
    """A copy of the registers in block order, and all that native code needs to renew it by itself:
    ``int function(uc *handle, int *ids, void **pointers, int count)`` (uc_reg_read_batch of unicorn.h).

    All attributes but ``count`` are host addresses, valid as long as this object and the engine live; ``values`` is the
    address of ``count`` 64-bit words.
    """

    def __init__(self, cpu: Any, arch: Arch) -> None:
        numbers = register_ids(arch)
        order = block_order(arch)
        self.count = len(order)
        self._cpu = cpu  # the handle dies with it
        self._ids = (ctypes.c_int * self.count)(*(numbers[name] for name in order))
        self._words = (ctypes.c_uint64 * self.count)()
        self.values = ctypes.addressof(self._words)
        self._pointers = (ctypes.c_void_p * self.count)(*(self.values + 8 * i for i in range(self.count)))
        self.ids = ctypes.addressof(self._ids)
        self.pointers = ctypes.addressof(self._pointers)
        self.handle: int = cpu._uch.value
        self.function: int = ctypes.cast(uclib.uc_reg_read_batch, ctypes.c_void_p).value or 0

    def refresh(self) -> list[int]:
        """Bring the copy up to date; the values in block order."""
        uclib.uc_reg_read_batch(self._cpu._uch, self._ids, self._pointers, self.count)
        return self._words[:]


@dataclass(frozen=True, slots=True)
class RegisterBlock:
    """The host address of one 64-bit word for each register of ``order``.

    ``how`` is ``pointer``: the registers themselves, current at every moment, and what is written there is what the
    guest has; ``batch`` is then None.  Or ``how`` is ``batch``: a copy, current after ``batch.function`` was called,
    and only to read.
    """

    address: int
    order: tuple[str, ...]
    batch: BatchRegisters | None
    how: str


def register_block(cpu: Any, arch: Arch) -> RegisterBlock:
    """The registers of *cpu* by pointer, or by batch where the pointer cannot be found or is switched off."""
    address = find_register_block(cpu, arch)
    if address is not None:
        return RegisterBlock(address, block_order(arch), None, "pointer")
    batch = BatchRegisters(cpu, arch)
    return RegisterBlock(batch.values, block_order(arch), batch, "batch")
