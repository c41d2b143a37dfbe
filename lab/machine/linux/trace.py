"""What a guest asked of its kernel, call by call, in words that do not depend on where its code lies.

Two runs of one program, before and after a rewrite, must have equal traces.  So an address appears as the name of the
memory it lies in, text and data that a call carries as themselves, and everything else as a number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MOST_KEPT = 50_000
"""Calls kept as such; beyond them only the digest goes on."""
_MOST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: its name, its arguments, its result (a number or an error's name), and a remark: the data it
    carried, or why it was refused."""

    name: str
    arguments: tuple[str, ...]
    result: str
    remark: str = ""

    def __str__(self) -> str:
        line = f"{self.name}({', '.join(self.arguments)}) = {self.result}"
        return f"{line}  {self.remark}" if self.remark else line


@dataclass(frozen=True)
class Trace:
    """All calls of one run: how many, the SHA-256 of their lines, the first ``MOST_KEPT`` of them, and how often each
    call was made that this Linux does not have."""

    count: int
    digest: str
    calls: tuple[Call, ...]
    missing: tuple[tuple[str, int], ...]

    def difference(self, other: Trace) -> str:
        """The first call in which *other* differs, as one line; "" where both are equal."""
        if self.digest == other.digest:
            return ""
        for number, (mine, theirs) in enumerate(zip(self.calls, other.calls, strict=False), start=1):
            if mine != theirs:
                return f"system call {number}: {mine} became {theirs}"
        if self.count != other.count:
            return f"{self.count} system calls became {other.count}"
        return f"the system calls differ after the first {MOST_KEPT}"

    @property
    def names(self) -> tuple[str, ...]:
        """The different calls that were made, sorted."""
        return tuple(sorted({call.name for call in self.calls}))


class Recorder:
    """Collects a trace."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._count = 0
        self._digest = hashlib.sha256()
        self._missing: dict[str, int] = {}

    def add(self, call: Call) -> None:
        """One more call."""
        self._count += 1
        self._digest.update(f"{call}\n".encode())
        if len(self._calls) < MOST_KEPT:
            self._calls.append(call)

    def lacks(self, name: str) -> None:
        """The guest asked for *name*, which does not exist here."""
        self._missing[name] = self._missing.get(name, 0) + 1

    def trace(self) -> Trace:
        """What there is so far."""
        missing = tuple(sorted(self._missing.items()))
        return Trace(self._count, self._digest.hexdigest(), tuple(self._calls), missing)


def shown(data: bytes) -> str:
    """*data* itself if it is short, else its length and digest."""
    if len(data) <= _MOST_SHOWN:
        return ascii(data)[1:]
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"
