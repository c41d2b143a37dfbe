"""What .eh_frame consists of: CIEs, FDEs, and the whole section.

Sources: LSB Core 5.0 section 10.6 (.eh_frame); DWARF 5 section 6.4.1; AADWARF64 2023Q3 (augmentation ``B``).
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cached_property

from lab.metadata.cfi_state import CfiState, Program, StateRow


@dataclass(frozen=True, eq=False)
class Cie:
    """A common information entry.  ``offset`` is that of its length field in the section, ``length`` its bytes in
    all; ``encoding`` that of FDE addresses, ``lsda_encoding`` OMIT where FDEs have no LSDA; ``personality`` the
    routine's address (with INDIRECT in its encoding: the address of the slot that holds it), 0 if there is none;
    ``personality_at`` the offset of the encoded pointer; ``signal``: the frames are signal frames; ``b_key``:
    return addresses are signed with key B (AArch64); ``program`` where the initial instructions lie."""

    offset: int
    length: int
    augmentation: str
    code_align: int
    data_align: int
    return_column: int
    encoding: int
    lsda_encoding: int
    personality: int
    personality_encoding: int
    personality_at: int
    has_data: bool
    program: Program

    @property
    def signal(self) -> bool:
        """The frames are those of signal handlers: the return address is the next instruction to run."""
        return "S" in self.augmentation

    @property
    def b_key(self) -> bool:
        """Return addresses are signed with key B, not A (AArch64)."""
        return "B" in self.augmentation

    @cached_property
    def initial(self) -> CfiState:
        """The state on entry to every function of this CIE, before its own instructions."""
        return self.program.initial()


@dataclass(frozen=True, slots=True, eq=False)
class Fde:
    """The code [start, start + size) and how to unwind from it.  ``lsda``: address of its exception table, 0 if
    none; ``offset``/``length`` of the entry in its section; ``lsda_at``: offset of the encoded LSDA pointer;
    ``begin``: offset of the instructions, which go to the end of the entry."""

    offset: int
    length: int
    start: int
    size: int
    cie: Cie
    lsda: int
    lsda_at: int
    begin: int

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def program(self) -> Program:
        """Its instructions."""
        return self.cie.program.part(self.begin, self.offset + self.length)

    @property
    def signal(self) -> bool:
        """The frame is a signal handler's (augmentation ``S``)."""
        return self.cie.signal

    @property
    def fragment(self) -> bool:
        """The code starts in the middle of a function: its frame is already up (``f.cold``).  An undefined return
        address alone makes no fragment (see ``outermost``)."""
        first, initial = self.first, self.cie.initial
        column = self.cie.return_column
        ours = {register: rule for register, rule in first.registers.items() if register != column}
        entry = {register: rule for register, rule in initial.registers.items() if register != column}
        if first.cfa != initial.cfa or ours != entry or first.signed != initial.signed:
            return True
        return not self.outermost and first.registers.get(column) != initial.registers.get(column)

    @property
    def outermost(self) -> bool:
        """At its first address the return address is undefined: nobody to return to (``_start``, new threads)."""
        return self.first.undefined(self.cie.return_column)

    @property
    def first(self) -> CfiState:
        """The state at the first address."""
        return state_at(self, self.start)


@dataclass(frozen=True)
class Frames:
    """A whole .eh_frame loaded at ``address``: ``cies`` and ``fdes`` in file order.  ``dropped``: FDEs whose code
    the linker discarded (null start); ``end``: offset of the terminator, or the section's length without one."""

    data: bytes
    address: int
    where: str
    cies: tuple[Cie, ...]
    fdes: tuple[Fde, ...]
    dropped: tuple[Fde, ...]
    end: int

    @cached_property
    def ordered(self) -> tuple[Fde, ...]:
        """The FDEs that cover code, by start."""
        return tuple(sorted((fde for fde in self.fdes if fde.size), key=lambda fde: fde.start))

    @cached_property
    def _starts(self) -> list[int]:
        return [fde.start for fde in self.ordered]

    def at(self, address: int) -> Fde | None:
        """The FDE whose code holds *address*; None if there is none.  Of FDEs that overlap, the nearest start."""
        index = bisect.bisect_right(self._starts, address) - 1
        found = self.ordered[index] if index >= 0 else None
        return found if found is not None and address < found.end else None

    def table(self, fde: Fde) -> tuple[list[int], list[StateRow]]:
        """(starts, rows) of *fde*, kept for the next time.  InputError if it is damaged."""
        known = self._tables.get(fde.offset)
        if known is None:
            found = rows(fde)
            known = self._tables[fde.offset] = ([row.start for row in found], found)
        return known

    def state(self, address: int) -> CfiState | None:
        """The state before the instruction at *address*; None where no FDE tells.  InputError for a damaged FDE."""
        fde = self.at(address)
        if fde is None:
            return None
        starts, found = self.table(fde)
        return found[bisect.bisect_right(starts, address) - 1].state

    @cached_property
    def _tables(self) -> dict[int, tuple[list[int], list[StateRow]]]:
        return {}

    def within(self, start: int, end: int) -> tuple[Fde, ...]:
        """The FDEs that cover some of [start, end), by start (of FDEs that overlap, the nearest)."""
        first = max(bisect.bisect_right(self._starts, start) - 1, 0)
        last = bisect.bisect_left(self._starts, end)
        return tuple(fde for fde in self.ordered[first:last] if fde.end > start)


def rows(fde: Fde) -> list[StateRow]:
    """What *fde* says, as rows that cover its code from start to end; neighbours differ.  InputError if damaged."""
    return fde.program.rows(fde.start, fde.end, fde.cie.initial)


def state_at(fde: Fde, address: int) -> CfiState:
    """The state before the instruction at *address* executes.  InputError if *address* is outside or *fde* damaged."""
    if not fde.start <= address < max(fde.end, fde.start + 1):
        raise fde.program.code.fail(f"{address:#x} is outside the FDE's {fde.start:#x}..{fde.end:#x}", fde.offset)
    return fde.program.state_at(fde.start, address, fde.cie.initial)
