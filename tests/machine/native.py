"""Native functions small enough to trust: they write what they are called with into a block of words."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cfunc, types
from numba.extending import intrinsic

U = types.uint64
ROOM = 50_000


@intrinsic
def load(context, address):
    def make(_context, builder, _signature, arguments) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))

    return U(U), make


@intrinsic
def store(context, address, value):
    def make(context, builder, _signature, arguments) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return types.void(U, U), make


@cfunc(types.void(U, U, types.uint32, U))
def record(uc, address, size, state):
    """Word 0 counts the calls; the addresses follow it."""
    count = load(state)
    if count < U(ROOM):
        store(state + U(8) * (count + U(1)), address)
    store(state, count + U(1))


@cfunc(types.void(U, types.int32, U, types.int32, types.int64, U))
def record_access(uc, kind, address, size, value, state):
    """Word 0 counts the calls; kind, address and size of each follow it."""
    count = load(state)
    if count < U(ROOM // 3):
        at = state + U(8) * (count * U(3) + U(1))
        store(at, U(kind))
        store(at + U(8), address)
        store(at + U(16), U(size))
    store(state, count + U(1))


class Record:
    """The block of words that the functions above write."""

    def __init__(self) -> None:
        self.words = np.zeros(ROOM + 2, np.uint64)
        self.address = int(self.words.ctypes.data)

    @property
    def count(self) -> int:
        return int(self.words[0])

    def values(self, each: int = 1) -> list[int]:
        """What was recorded, *each* words a call."""
        assert self.count <= ROOM // each
        return [int(word) for word in self.words[1 : 1 + self.count * each]]


class PythonHook:
    """A CODE hook by address that is Python after all: *function*(pc).  What *function* raises is lost."""

    def __init__(self, function: Callable[[int], None]) -> None:
        kind = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint64)
        self._callback: Any = kind(lambda _uc, pc, _size, _state: function(pc))
        self.address = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
