"""Every instruction of an image in columns: what it does to control flow, to the stack, to a few registers.

The scanners (a64, x64) fill a Scan; everything after them is common to both architectures.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.arch import Arch

Ints = NDArray[Any]
"""Addresses, indices: int64."""
Masks = NDArray[Any]
"""Sets of registers as bits, instruction words: uint32."""
Bools = NDArray[Any]
"""One truth value an element."""


NOWHERE = 1 << 62
"""Stands for branch targets outside of what addresses can be."""


class Flow(enum.IntEnum):
    """What an instruction does to control flow."""

    NONE = 0
    CALL = 1
    CALL_INDIRECT = 2
    BRANCH = 3  # conditional, direct
    SHORT = 4  # x86 loop and jrcxz: a conditional branch that reaches 127 bytes and has no longer form
    JUMP = 5  # the kinds from here on do not go on to the next instruction
    RETURN = 6
    INDIRECT = 7
    TRAP = 8
    DATA = 9  # a literal pool or data island: not an instruction
    BAD = 10  # undecodable, or of a kind nobody here understands
    FAR = 11  # returns or jumps that change more than the program counter (eret, iret, sysret)


ENDS = frozenset({Flow.JUMP, Flow.RETURN, Flow.INDIRECT, Flow.TRAP, Flow.DATA, Flow.BAD, Flow.FAR})


class Op(enum.IntEnum):
    """One effect on SP, FP, or the return address.  Operands in parentheses; n is bytes; base 0 is SP, 1 is FP, 2 the
    shadow call stack compilers keep in x18."""

    SP_ADD = 0  # (n)
    SP_FP = 1  # (n): SP = FP + n
    FP_SP = 2  # (n): FP = SP + n
    FP_ADD = 3  # (n)
    FP_LOST = 4
    SP_REG = 5  # (register, n): SP = register + n
    SP_ALIGN = 6  # rounded down
    SP_LOST = 7  # a computed distance
    LR_SAVE = 8  # (base, n): the link register is stored at base + n
    LR_LOAD = 9  # (base, n)
    LR_LOST = 10
    LR_REG = 11  # (register)
    SP_LOAD = 12  # (register or ""): from memory at the register, or in a way not told apart
    PUSH = 13  # (register): stored at SP, after SP_ADD
    SLOT_WRITE = 14  # (base, n): memory from base + n on is written
    SP_MOVE = 15  # (register, sign): SP = SP + sign * register


Effect = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, eq=False)
class Scan:
    """Columns over all instructions, ascending by ``address``.

    ``target`` is -1 where there is none.  ``reads``, ``kills`` (surely overwrites) and ``writes`` (may write) are masks
    over ``bits``.  ``effects``: index -> effects on the stack, in order.  ``branch_register``: index of an indirect
    jump, call or return -> register it goes through (None: memory).  ``authenticated``: indices of returns that
    authenticate."""

    arch: Arch
    bits: dict[str, int]
    address: Ints
    size: Ints
    flow: NDArray[Any]
    target: Ints
    reads: Masks
    kills: Masks
    writes: Masks
    effects: dict[int, Effect]
    branch_register: Mapping[int, str | None]
    authenticated: frozenset[int] = frozenset()
    prefixes: frozenset[int] = frozenset()
    """Indices of lock prefixes, which count as instructions of their own."""
    syscalls: tuple[int, ...] = ()
    """Indices of instructions that enter the kernel and come back."""
    pushes: tuple[int, ...] = ()
    """Indices of x86 pushes of a register."""
    saves: tuple[int, ...] = ()
    """Indices of stores of a callee-saved register at the first argument, or loads from there."""
    numbers: tuple[int, ...] = ()
    """Indices of instructions that load the number of a system call that clones."""
    words: Masks | None = None
    """Instruction words, where all have the same size."""

    def same(self, one: int, other: int) -> bool:
        """Whether two instructions of a fixed-size architecture have the same bytes."""
        return self.words is not None and bool(self.words[one] == self.words[other])

    def without_reads(self, indices: tuple[int, ...]) -> Scan:
        """The same columns, but nothing is read at *indices*."""
        reads = self.reads.copy()
        reads[list(indices)] = 0
        return replace(self, reads=reads)

    @cached_property
    def events(self) -> list[int]:
        """Indices of instructions that matter to flow or stack, ascending."""
        marked = self.flow != Flow.NONE
        marked[list(self.effects)] = True
        found: list[int] = np.nonzero(marked)[0].tolist()
        return found

    @cached_property
    def addresses(self) -> list[int]:
        """``address`` as Python numbers."""
        found: list[int] = self.address.tolist()
        return found

    @cached_property
    def flows(self) -> list[int]:
        """``flow`` as Python numbers."""
        found: list[int] = self.flow.tolist()
        return found

    @cached_property
    def targets(self) -> list[int]:
        """``target`` as Python numbers."""
        found: list[int] = self.target.tolist()
        return found

    def low_high(self, start: int, end: int) -> tuple[int, int]:
        """[low, high) of the instructions that begin in [start, end)."""
        return bisect_left(self.addresses, start), bisect_left(self.addresses, end)

    def events_of(self, low: int, high: int) -> list[int]:
        """The events of instructions [low, high)."""
        return self.events[bisect_left(self.events, low) : bisect_left(self.events, high)]

    def indices(self, addresses: Ints) -> Ints:
        """Index of the first instruction at or after each address."""
        return np.searchsorted(self.address, addresses)

    @cached_property
    def understood(self) -> int:
        """Instructions whose meaning was needed."""
        marked = (self.flow != Flow.NONE) | (self.reads | self.kills != 0)
        marked[list(self.effects)] = True
        return int(np.count_nonzero(marked))
