"""How a system call ends a guest."""

from __future__ import annotations

from typing import NamedTuple

from lab.machine.outcome import End


class Ended(NamedTuple):
    """With an exit status (0..255), or by the signal whose number is ``status``."""

    end: End
    status: int
    detail: str
