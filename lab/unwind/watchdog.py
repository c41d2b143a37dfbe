"""Ends a walk that never comes back: a loop inside one step cannot be stopped by counting steps.

A timer looks every TICK seconds of processor time (a busy machine does not count).  If it finds the same walk
twice, it raises WalkHung inside it; the host makes that a crash, and does not call the same unwinder again in
this execution.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Protocol

TICK = 5.0  # seconds


class WalkHung(BaseException):
    """Raised inside a walk.  Not an Exception, so that a plug-in's own handler does not swallow it."""


class Walks(Protocol):
    """What is watched: how many walks have begun, and whether one is under way."""

    walks: int
    walking: bool


class Loading:
    """Importing a plug-in's file: one walk that has begun."""

    walks, walking = 1, True


class Watchdog:
    """Watches the walks of one execution.  Without timers (another thread, another system) it does nothing."""

    def __init__(self, watched: Walks, tick: float | None = None) -> None:
        self._watched, self._tick = watched, TICK if tick is None else tick
        self._seen = -1
        self._active = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")

    def __enter__(self) -> Watchdog:
        if self._active:
            self._before = signal.signal(signal.SIGVTALRM, self._look)
            signal.setitimer(signal.ITIMER_VIRTUAL, self._tick, self._tick)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._active:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, self._before)

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        if self._watched.walking and self._seen == self._watched.walks:
            raise WalkHung
        self._seen = self._watched.walks if self._watched.walking else -1
