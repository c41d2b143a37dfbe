"""How compiled code calls Python: (event, a, b) -> value, all unsigned 64-bit integers."""

from __future__ import annotations

import ctypes

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
