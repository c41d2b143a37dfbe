"""How compiled code calls Python: (event, a, b) -> value, all unsigned 64-bit integers."""

from __future__ import annotations

import ctypes

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)


class NotNative(Exception):  # noqa: N818  that unwinder is left to the reference engine
    """Unwinder number *index* of the plan did something in mid-run that the native engine has no number for."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
