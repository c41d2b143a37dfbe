"""How compiled code calls Python: (event, a, b) -> value, all unsigned 64-bit integers."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)


class NotNative(Exception):  # noqa: N818  that unwinder is left to the reference engine
    """Unwinder number *index* of the plan did something in mid-run that the native engine has no number for."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


@contextmanager
def nothing_lost(callback: object, abort: Callable[[BaseException], None]) -> Iterator[None]:
    """A signal's exception may come before the first line of *callback*: Python prints such a one and goes on.  While
    this lasts *abort* is called with it instead."""

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if error is None or not (isinstance(error, KeyboardInterrupt) or unraisable.object == callback):
            before(unraisable)
        else:
            abort(error)

    before, sys.unraisablehook = sys.unraisablehook, lost
    try:
        yield
    finally:
        sys.unraisablehook = before
