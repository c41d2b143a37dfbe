"""What limits an execution, and how it ended."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import NamedTuple, Self

from lab.machine.linux.trace import Trace


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
    SIGNAL = "signal"


@dataclass(frozen=True)
class Outcome:
    """How an execution ended.  ``status``: the exit status (0..255) for EXIT, a signal for SIGNAL, else None.

    ``trace``: the system calls of a process; None of a freestanding image."""

    end: End
    status: int | None
    output: bytes
    pc: int
    detail: str
    trace: Trace | None = None

    @property
    def result(self) -> str:
        """What a rewrite must not change: how it ended, with which status and output."""
        return f"{self.end.value} {self.status} {self.output.decode('ascii', 'backslashreplace')!r}"


class Clock(NamedTuple):
    """Seconds on two clocks: of the wall, and of the processor as far as it worked for the calling thread."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> Self:
        """Both, from an arbitrary beginning."""
        return cls(time.perf_counter(), time.thread_time())

    def since(self, began: Clock) -> Clock:
        """What passed from *began* to this."""
        return Clock(self.wall_s - began.wall_s, self.cpu_s - began.cpu_s)
