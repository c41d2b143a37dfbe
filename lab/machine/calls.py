"""Where calls end: the addresses that a call may return to."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from lab.arch.decode import Kind, decode
from lab.images.image import Image
from lab.images.rawelf import PF_X
from lab.machine.memory import GuestMemory

Ranges = Sequence[tuple[int, int]]


class CallSites:
    """Decoded from memory as it is, function by function from its start on (and what lies between functions from
    the end of the one before): instructions of x86-64 cannot be told backwards.  What was decoded is kept but for code
    that the guest can write to, [start, end) in *changeable*."""

    def __init__(self, image: Image, memory: GuestMemory, changeable: Ranges = ()) -> None:
        self._arch, self._memory, self._changeable = image.arch, memory, changeable
        edges = {edge for f in image.functions for edge in (f.start, f.end)}
        self._text = [(s.address, s.end) for s in image.segments if s.flags & PF_X]
        edges |= {edge for pair in self._text for edge in pair}
        self._edges = sorted(edges)
        self._ends: dict[int, frozenset[int]] = {}

    def ends(self, address: int) -> bool:
        """Whether the instruction directly before *address* is a call."""
        last = address - 1
        if not any(low <= last < high for low, high in self._text):
            return False
        index = bisect.bisect_right(self._edges, last) - 1
        found = self._ends.get(index)
        if found is None:
            start, end = self._edges[index], self._edges[index + 1]
            insns = decode(self._arch, self._memory.read(start, end - start), start)
            found = frozenset(insn.end for insn in insns if insn.kind is Kind.CALL)
            if not any(low < end and start < high for low, high in self._changeable):
                self._ends[index] = found
        return address in found

    def forget(self) -> None:
        """The host has changed code."""
        self._ends.clear()
