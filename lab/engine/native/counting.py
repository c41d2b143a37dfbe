"""The plain counter as native hooks: counts of one execution without truth or unwinders."""

from __future__ import annotations

import ctypes
import time
from functools import cache

import numpy as np

from lab.engine.native.cells import KNOWN
from lab.engine.native.classify import classify
from lab.engine.native.compiling import Compiled, compiled
from lab.engine.native.count_cells import C
from lab.engine.native.event_codes import Event
from lab.engine.native.events import CALLBACK
from lab.engine.native.generate import access_module, count_module
from lab.engine.native.tables import check_width
from lab.machine.hooks import WRITE_KIND
from lab.machine.machine import End, Machine, Outcome
from lab.unwind.api import MASK64


@cache
def compiled_counter() -> tuple[Compiled, Compiled]:
    """The CODE hook and the access hook of the counter."""
    return compiled(count_module()), compiled(access_module())


class NativeCounter:
    """Counts one execution of *machine*; its attributes are valid after ``run``."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        executable = [m for m in machine.mappings if m.executable]
        self._low = min(m.start for m in executable)
        size = max(m.end for m in executable) - self._low
        check_width(machine.image, size)
        self._flags = np.zeros(size + 16, np.uint8)
        self._block = np.zeros(len(C), np.uint64)
        self._callback = CALLBACK(self._on_event)
        self._block[C.EVENT] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        self._block[C.CODE_LOW], self._block[C.CODE_SIZE] = self._low, size
        self._block[C.FLAGS] = self._flags.ctypes.data
        self._block[C.PREVIOUS], self._block[C.WRITE_KIND] = MASK64, WRITE_KIND
        self._block[C.LIMIT] = machine.limits.instructions

    def run(self) -> Outcome:
        """Execute."""
        self._deadline = time.monotonic() + self._machine.limits.seconds
        code, access = compiled_counter()
        state = int(self._block.ctypes.data)
        return self._machine.execute_native(code.address, state, access.address, state)

    def __getitem__(self, cell: C) -> int:
        return int(self._block[cell])

    def _on_event(self, event: int, pc: int, _b: int) -> int:
        try:
            if event == Event.DECODE:
                self._decode(pc)
            elif event == Event.BUDGET:
                self._stop(f"{self._machine.limits.instructions} instructions")
            elif time.monotonic() > self._deadline:
                self._stop(f"{self._machine.limits.seconds:g} s")
        except BaseException as error:
            self._block[C.STOP] = 1
            self._machine.abort(error)
        return 0

    def _stop(self, detail: str) -> None:
        self._block[C.STOP] = 1
        self._machine.stop(End.BUDGET, None, detail)

    def _decode(self, pc: int) -> None:
        found = classify(self._machine.arch, self._machine.code_at(pc), pc)
        self._flags[pc - self._low] = KNOWN | found.flags
