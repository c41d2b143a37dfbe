"""New text under construction: bytes at increasing addresses, and what capstone must read them back as.

Every instruction a rewriter emits is read back.  Doing that one instruction at a time costs more than all the rest,
so the text is read back whole, in one pass over the instructions in the order in which they were put.
"""

from __future__ import annotations

from typing import Any

from lab.arch import Arch
from lab.arch.decode import disassemble
from lab.errors import EngineError


class NewText:
    """``data`` from ``base`` on."""

    def __init__(self, arch: Arch, base: int) -> None:
        self.arch, self.base = arch, base
        self.data = bytearray()
        self._expected: list[tuple[int, bytes, str]] = []

    @property
    def here(self) -> int:
        """Address of the next byte."""
        return self.base + len(self.data)

    def put(self, raw: bytes, text: str) -> int:
        """Append one instruction that reads *text*; its address."""
        address = self.here
        self._expected.append((address, raw, text))
        self.data += raw
        return address

    def fill(self, raw: bytes) -> None:
        """Append bytes that are no instructions: a mark, or padding nothing comes to."""
        self.data += raw

    def align(self, size: int, filler: bytes) -> None:
        """Pad with *filler* up to a multiple of *size*."""
        left = -self.here % size
        self.data += (filler * left)[:left]

    def read_back(self) -> None:
        """EngineError unless every instruction put reads back as the text given for it."""
        expected = self._expected
        at = 0
        while at < len(expected):
            run = _run(expected, at)
            code = b"".join(raw for _, raw, _ in expected[at : at + run])
            got = list(disassemble(self.arch, code, expected[at][0]))
            _compare(expected[at : at + run], got)
            at += run


def _run(expected: list[tuple[int, bytes, str]], at: int) -> int:
    """How many instructions from index *at* follow one another without a gap."""
    length = 1
    while at + length < len(expected):
        address, raw, _ = expected[at + length - 1]
        if expected[at + length][0] != address + len(raw):
            break
        length += 1
    return length


def _compare(expected: list[tuple[int, bytes, str]], got: list[tuple[int, int, str]]) -> None:
    wanted: list[Any] = [(address, len(raw), text) for address, raw, text in expected]
    if got == wanted:
        return
    for index, want in enumerate(wanted):
        have = got[index] if index < len(got) else None
        if have != want:
            raw = expected[index][1].hex()
            raise EngineError(f"assembled '{want[2]}' at {want[0]:#x} but the bytes {raw} read back as {have}")
    raise EngineError(f"assembled {len(wanted)} instructions but {len(got)} read back")
