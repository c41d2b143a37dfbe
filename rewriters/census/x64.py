"""The columns of an x86-64 image: decoded by capstone once, each byte string understood once.

Functions are decoded from their starts, what lies between them from where the last one ended; an undecodable byte is
Flow.BAD and the next is tried.  Source: Intel 64 Software Developer's Manual volume 2 (325383).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import capstone
import numpy as np

from lab.arch.x86_64 import X86_64
from lab.images.image import Image
from rewriters.census.clones import clone_numbers
from rewriters.census.scan import NOWHERE, Effect, Flow, Op, Scan
from rewriters.census.x64_facts import BITS, Fact, fact
from rewriters.sites import executable_sections

_NO_TARGET = -1
_LOCK = 0xF0
#: Bytes given to the decoder at once: what is undecodable makes it start anew.
_WINDOW = 1 << 16


@cache
def _engine() -> Any:
    return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def scan(image: Image) -> Scan:
    """Every instruction of the executable sections."""
    rows = _Rows()
    known: dict[bytes, Fact] = {}
    for base, data in sorted(executable_sections(image)):
        for start, end in _pieces(image, base, base + len(data)):
            rows.decode(data[start - base : end - base], start, known)
    return rows.scan(image)


def _pieces(image: Image, start: int, end: int) -> Iterator[tuple[int, int]]:
    """[start, end) cut at the starts and ends of functions."""
    cuts = {start, end}
    for function in image.functions:
        cuts |= {cut for cut in (function.start, function.end) if start < cut < end}
    ordered = sorted(cuts)
    yield from zip(ordered, ordered[1:], strict=False)


class _Rows:
    """Columns being filled."""

    def __init__(self) -> None:
        self.address: list[int] = []
        self.size: list[int] = []
        self.facts: list[Fact] = []
        self.target: list[int] = []
        self.prefixes: set[int] = set()

    def decode(self, data: bytes, start: int, known: dict[bytes, Fact]) -> None:
        """Append the instructions of *data* at *start*."""
        at = 0
        while at < len(data):
            window = data[at : at + _WINDOW]
            done = self._straight(window, start + at, known)
            at += done
            if at < len(data) and (at + X86_64.max_insn > len(data) or done + X86_64.max_insn <= len(window)):
                self.add(start + at, 1, _BAD, _NO_TARGET)
                at += 1

    def _straight(self, window: bytes, start: int, known: dict[bytes, Fact]) -> int:
        """Append what decodes from the beginning of *window*; how many bytes that is."""
        done = 0
        for address, size, mnemonic, operands in _engine().disasm_lite(window, start):
            raw = window[done : done + size]
            found = known.get(raw)
            if found is None:
                found = known[raw] = fact(mnemonic, operands, raw)
            cut = int(raw[0] == _LOCK and size > 1)  # hand-written code jumps over the prefix
            if cut:
                self.prefixes.add(len(self.address))
                self.add(address, 1, _PREFIX, _NO_TARGET)
            self.add(address + cut, size - cut, found, min(int(operands, 16), NOWHERE) if found.direct else _NO_TARGET)
            done += size
        return done

    def add(self, address: int, size: int, found: Fact, target: int) -> None:
        """One instruction."""
        self.address.append(address)
        self.size.append(size)
        self.facts.append(found)
        self.target.append(target)

    def scan(self, image: Image) -> Scan:
        """The finished columns."""
        clones = clone_numbers("x86_64")
        effects: dict[int, Effect] = {i: f.effects for i, f in enumerate(self.facts) if f.effects}
        through = {i: f.register for i, f in enumerate(self.facts) if f.flow in _THROUGH}
        return Scan(
            arch=image.arch,
            bits=BITS,
            address=np.array(self.address, np.int64),
            size=np.array(self.size, np.int64),
            flow=np.array([f.flow for f in self.facts], np.uint8),
            target=np.array(self.target, np.int64),
            reads=np.array([f.reads for f in self.facts], np.uint32),
            kills=np.array([f.kills for f in self.facts], np.uint32),
            writes=np.array([f.writes for f in self.facts], np.uint32),
            effects=effects,
            branch_register=through,
            prefixes=frozenset(self.prefixes),
            pushes=tuple(i for i, f in enumerate(self.facts) if f.reads and f.effects and f.effects[-1][0] is Op.PUSH),
            saves=tuple(i for i, f in enumerate(self.facts) if f.saves),
            numbers=tuple(i for i, f in enumerate(self.facts) if f.number in clones),
            syscalls=tuple(i for i, f in enumerate(self.facts) if f.syscall),
        )


_BAD, _PREFIX = Fact(Flow.BAD), Fact()
_THROUGH = frozenset({Flow.CALL_INDIRECT, Flow.INDIRECT})
