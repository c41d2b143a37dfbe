"""Rule tables: for each address of an image, how to find the caller's frame from the current one.

One shape for what DWARF CFI, ORC and SFrame say, as far as stack unwinders of kernels use it: the CFA from SP or FP,
and where the return address and the caller's FP are.  The CFA (canonical frame address) is the caller's SP after the
return on both architectures.  What a format says beyond that is a row of kind UNSUPPORTED with its reason, never a
guess.  Pure data: the numbers below are what ``rule_word`` gives to unwinders.
"""

from __future__ import annotations

import bisect
import enum
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_MASK = (1 << 64) - 1


class Format(enum.IntEnum):
    """The unwind formats; the TABLE of the primitives ``rule`` and ``rule_word``."""

    DWARF = 0
    ORC = 1
    SFRAME = 2


class Field(enum.IntEnum):
    """The words of a row, in the order of Rule's fields; the FIELD of the primitive ``rule_word``."""

    KIND = 0
    CFA_BASE = 1
    CFA_OFFSET = 2
    CFA_DEREF = 3
    RA_PLACE = 4
    RA_OFFSET = 5
    FP_PLACE = 6
    FP_OFFSET = 7
    FLAGS = 8
    REASON = 9


class Kind(enum.IntEnum):
    """What a row is."""

    NORMAL = 1
    END = 2  # the outermost frame: nobody to return to
    UNDEFINED = 3  # the format says that nothing is known here
    REGS = 4  # at the CFA lies a whole pt_regs
    REGS_PARTIAL = 5  # at the CFA lies the hardware's part of a pt_regs: ip and sp
    UNSUPPORTED = 6  # the format says more than a rule can hold: Reason


class CfaBase(enum.IntEnum):
    """What the CFA is computed from."""

    SP = 0
    FP = 1
    OTHER = 2


class Deref(enum.IntEnum):
    """Whether the CFA is loaded from memory."""

    NONE = 0
    BEFORE = 1  # CFA = [base] + offset
    AFTER = 2  # CFA = [base + offset]


class RaPlace(enum.IntEnum):
    """Where the return address is."""

    LR = 0
    CFA = 1  # [CFA + RA_OFFSET]
    UNDEFINED = 2  # nobody to return to


class FpPlace(enum.IntEnum):
    """Where the caller's FP is."""

    SAME = 0
    CFA = 1  # [CFA + FP_OFFSET]
    FP = 2  # [FP + FP_OFFSET]
    UNDEFINED = 3  # lost


class Flag(enum.IntFlag):
    """Bits of FLAGS."""

    RA_SIGNED = 1  # the return address carries a pointer authentication code
    SIGNAL = 2  # the caller's pc is the next instruction to run: look up pc, not pc - 1


class Reason(enum.IntEnum):
    """Why a row is UNSUPPORTED, or what a conversion loses."""

    NONE = 0
    CFA_MISSING = 1  # no CFA rule
    CFA_EXPRESSION = 2  # CFA by a DWARF expression
    CFA_REGISTER = 3  # CFA from another register than SP and FP
    CFA_DEREF = 4  # CFA loaded from memory, which the format cannot say
    RA_UNSAVED = 5  # return address said to be in a register the architecture has not
    RA_REGISTER = 6  # return address in another register than LR
    RA_VALUE = 7  # return address is CFA + n itself
    RA_EXPRESSION = 8
    RA_OFFSET = 9  # return address in another slot than the one the format fixes
    RA_IN_LR = 10  # return address in LR, which the format cannot say
    RA_SIGNED = 11  # signed return address, which the format cannot say
    FP_REGISTER = 12  # caller's FP in another register
    FP_VALUE = 13  # caller's FP is CFA + n itself
    FP_EXPRESSION = 14
    FP_PLACE = 15  # caller's FP saved where the format cannot say
    FP_UNDEFINED = 16  # caller's FP lost, which the format cannot say
    SP_RULE = 17  # caller's SP is not the CFA
    OFFSET_RANGE = 18  # an offset too large for the format
    RANGE = 20  # code too long, or too far away, for the format
    KIND = 21  # a kind of row that the format does not have
    SIGNAL = 22  # signal frame, which the format cannot say
    OUTERMOST = 23  # end of the stack, which the format cannot say
    DAMAGED = 24  # instructions that cannot be decoded
    UNKNOWN = 25  # a value without a meaning


class Rule(NamedTuple):
    """One row's words, each an int (enums of this module; offsets in bytes, signed)."""

    kind: int
    cfa_base: int = CfaBase.SP
    cfa_offset: int = 0
    cfa_deref: int = Deref.NONE
    ra_place: int = RaPlace.LR
    ra_offset: int = 0
    fp_place: int = FpPlace.SAME
    fp_offset: int = 0
    flags: int = 0
    reason: int = Reason.NONE

    def words(self) -> tuple[int, ...]:
        """The words as unsigned 64-bit numbers, in the order of Field."""
        return tuple(int(word) & _MASK for word in self)


def unsupported(reason: Reason, flags: int = 0) -> Rule:
    """A row that says only why there is no rule."""
    base = CfaBase.OTHER if reason in {Reason.CFA_REGISTER, Reason.CFA_EXPRESSION} else CfaBase.SP
    return Rule(Kind.UNSUPPORTED, cfa_base=base, flags=flags, reason=reason)


class Row(NamedTuple):
    """``rule`` holds before each instruction in [start, end)."""

    start: int
    end: int
    rule: Rule


class Loss(NamedTuple):
    """A conversion could not carry over what the source says of [start, end)."""

    start: int
    end: int
    reason: Reason


@dataclass(frozen=True)
class RuleTable:
    """The rows of one image in one format.

    ``rows``: by start, none overlaps another.  ``origin``: the section they were read from, or ``converted from``
    it; empty where the image has neither.  ``size``: bytes the format takes for them.  ``losses``: what reading or
    converting could not carry over, by address.  ``units``: where an entry of the source begins (a function's FDE),
    in order; nothing for a format without such."""

    kind: int
    rows: tuple[Row, ...]
    origin: str = ""
    size: int = 0
    losses: tuple[Loss, ...] = ()
    units: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for row, after in zip(self.rows, self.rows[1:], strict=False):
            if row.end > after.start:
                raise ValueError(f"rows overlap at {after.start:#x}")
        if any(row.start >= row.end for row in self.rows):
            raise ValueError("a row without an address")

    @cached_property
    def _starts(self) -> list[int]:
        return [row.start for row in self.rows]

    def number(self, pc: int) -> int:
        """The number of the row that holds *pc*, from 1; 0 where there is none."""
        found = bisect.bisect_right(self._starts, pc)
        return found if found and pc < self.rows[found - 1].end else 0

    def at(self, pc: int) -> Rule | None:
        """The rule before the instruction at *pc*; None where there is none."""
        number = self.number(pc)
        return self.rows[number - 1].rule if number else None

    def array(self) -> npt.NDArray[np.uint64]:
        """(rows + 1, fields) words; row 0, all zero, stands for no row."""
        words = np.zeros((len(self.rows) + 1, len(Field)), dtype=np.uint64)
        if self.rows:
            words[1:] = np.array([row.rule.words() for row in self.rows], dtype=np.uint64)
        return words

    def starts(self) -> npt.NDArray[np.uint64]:
        """First address of each row, by number less one."""
        return np.array(self._starts, dtype=np.uint64)

    def ends(self) -> npt.NDArray[np.uint64]:
        """The address after each row, by number less one."""
        return np.array([row.end for row in self.rows], dtype=np.uint64)

    def reasons(self) -> Counter[Reason]:
        """How many losses there are of each reason."""
        return Counter(loss.reason for loss in self.losses)

    def told(self) -> Iterator[Row]:
        """The rows that say how to go on, or that nobody is to be gone on to."""
        silent = {Kind.UNSUPPORTED, Kind.UNDEFINED}
        return (row for row in self.rows if row.rule.kind not in silent)


def merged(rows: Iterable[Row]) -> list[Row]:
    """*rows*, by start, with neighbours that touch and say the same made one."""
    found: list[Row] = []
    for row in rows:
        if found and found[-1].end == row.start and found[-1].rule == row.rule:
            found[-1] = Row(found[-1].start, row.end, row.rule)
        else:
            found.append(row)
    return found
