"""Python functions as native hooks: registered as the native engine's hook is, with the value of each write.

``Machine.execute`` goes through unicorn's own Python callbacks, which is another way into the same run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from lab.machine.hooks import WRITE_KIND
from lab.machine.machine import End, Machine, Outcome

_CODE = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint64)
_ACCESS = ctypes.CFUNCTYPE(
    None, ctypes.c_uint64, ctypes.c_int, ctypes.c_uint64, ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64
)


def run_hooked(
    machine: Machine,
    on_instruction: Callable[[int], None],
    on_write: Callable[[int, int, int], None] | None = None,
) -> Outcome:
    """Run *machine* with *on_instruction*(pc) before each instruction, at every iteration of a ``rep``, and
    *on_write*(address, size in bytes, unsigned value) at each write.  What they raise ends the run and is raised here.
    """
    left = machine.limits.instructions

    def guarded(work: Callable[..., None], *arguments: int) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # ctypes would print it and go on
            machine.abort(error)

    def code(_uc: int, pc: int, _size: int, _user: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            machine.stop(End.BUDGET, None, f"{machine.limits.instructions} hook calls")
            return
        guarded(on_instruction, pc)

    def access(_uc: int, kind: int, address: int, size: int, value: int, _user: int) -> None:
        if kind == WRITE_KIND and on_write is not None:
            guarded(on_write, address, size, value)

    hook = _CODE(code)
    if on_write is None:
        return machine.execute_native(_address(hook), 0)
    watch = _ACCESS(access)
    return machine.execute_native(_address(hook), 0, _address(watch))


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
