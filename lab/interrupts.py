"""Being stopped: Ctrl-C, SIGTERM and SIGHUP all end a command as KeyboardInterrupt, so that it tidies up."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RETRY_S = 0.05
_spawning = threading.Event()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """While this lasts, a stopping signal raises KeyboardInterrupt in the main thread; elsewhere it does nothing.

    A signal that is ignored stays ignored: ``nohup`` and background jobs of a shell rely on it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    caught = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in caught:
        signal.signal(number, _stop)
    swallowed, sys.unraisablehook = sys.unraisablehook, _raise_again
    try:
        yield
    finally:
        sys.unraisablehook = swallowed
        for number in caught:
            signal.signal(number, before[number])


@contextlib.contextmanager
def held_from_children() -> Iterator[None]:
    """Nothing is stopped meanwhile, so that no process is left half started; those started keep it that way.

    A terminal sends Ctrl-C to all of them, but it is the parent that ends its children, by SIGKILL.
    """
    old = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # inherited by the children
    _spawning.set()  # another thread may still take the signal, and Python's handler would run in this one
    try:
        yield
    finally:
        _spawning.clear()
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _stop(number: int, frame: FrameType | None) -> None:
    if not _spawning.is_set() and not _loading_extension(frame):
        raise KeyboardInterrupt
    # C++ that initialises a module may call back into Python and aborts if that raises: try again shortly.
    _again(number)


def _raise_again(lost: sys.UnraisableHookArgs) -> None:
    """A finalizer or a callback from C cannot pass an exception on: a stop that came there comes again."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        _again(signal.SIGINT)
    else:
        sys.__unraisablehook__(lost)


def _again(number: int) -> None:
    again = threading.Timer(_RETRY_S, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _loading_extension(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_qualname.startswith("ExtensionFileLoader."):
            return True
        frame = frame.f_back
    return False
