"""What limits an execution, and how it ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What stops a runaway image: retired instructions and wall-clock seconds."""

    instructions: int = 50_000_000
    seconds: float = 120.0


class End(enum.Enum):
    """Why an execution ended."""

    EXIT = "exit"
    BUDGET = "budget"
    FAULT = "fault"
    TRAP = "trap"


@dataclass(frozen=True)
class Outcome:
    """How an execution ended.  ``status`` is the exit status (0..255) for EXIT, else None."""

    end: End
    status: int | None
    output: bytes
    pc: int
    detail: str

    @property
    def result(self) -> str:
        """What a rewrite must not change: how it ended, with which status and output."""
        return f"{self.end.value} {self.status} {self.output.decode('ascii', 'backslashreplace')!r}"
