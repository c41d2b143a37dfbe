"""Unwinders that do not answer: a call into one that goes on and on is cut off, and it is not asked again."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

PATIENCE_S = 5.0
"""Seconds of processor time one walk may take; it is ended after at most twice that.  A walk needs about 20
microseconds, and a busy machine does not count: only this process's own time does."""

_CALLERS = frozenset({("lab.unwind.host", "walk"), ("lab.unwind.host", "_steps"), ("lab.registry", "load_unwinder")})
"""(module, function) of the lab's own that call into an unwinder's file."""

_silent: set[str] = set()


class NoAnswerError(Exception):
    """Raised inside the unwinder's own code."""

    def __init__(self) -> None:
        super().__init__(f"no answer within {PATIENCE_S:g} s of processor time")


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """While this lasts, NoAnswerError is raised in an unwinder's code that does not return.

    Only in the main thread, where signals arrive; a job's unwinders run in no other.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: FrameType | None = None

    def tick(_number: int, frame: FrameType | None) -> None:
        nonlocal seen
        calling = _calling(frame)
        if calling is not None and calling is seen:
            seen = None
            raise NoAnswerError
        seen = calling

    _silent.clear()
    before = signal.signal(signal.SIGVTALRM, tick)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        seen = None


def give_up(origin: str) -> None:
    """The unwinder of this file is not asked again until the next ``patience``."""
    _silent.add(origin)


def gave_up(origin: str) -> bool:
    """Whether the unwinder of this file has been given up."""
    return origin in _silent


def _calling(frame: FrameType | None) -> FrameType | None:
    """The innermost of the lab's own frames that called into an unwinder."""
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) in _CALLERS:
            return frame
        frame = frame.f_back
    return None
