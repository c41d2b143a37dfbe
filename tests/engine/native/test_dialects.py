"""One source, two dialects: what a step function computes in plain Python and compiled is the same number."""

from __future__ import annotations

import ctypes
import itertools
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

from lab.engine.native.cells import S
from lab.engine.native.compiling import compiled
from lab.engine.native.generate import OURS, Module
from lab.lowering.plain import LOOP_BUDGET, plain_forms
from lab.registry import load_unwinder
from lab.unwind.api import Unwinder
from lab.unwind.host import PRIMITIVES
from tests.engine.native.expressions import plugins

COUNT = 16
NEAR = (0, 1, 8, 1 << 31, (1 << 31) - 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 8, (1 << 64) - 8, (1 << 64) - 1)

_ENTRY = """
@cfunc(types.void(types.uint64, types.uint64, types.uint64, types.uint64, types.uint64, types.uint64), cache=True)
def entry(s, to, which, a, b, c):
    status, ra, cursor = {step}(s, which, (which, a, b, c))
    {ours}store64(to, {ours}word(ra))
"""
_CALL = ctypes.CFUNCTYPE(None, *[ctypes.c_uint64] * 6)


class Native:
    """A step compiled by itself: its return address for a cursor."""

    def __init__(self, plugin: Unwinder) -> None:
        module = Module()
        step = module.function(plugin.step, hidden=True)
        self._block, self._to = np.zeros(len(S), np.uint64), np.zeros(1, np.uint64)
        self._compiled = compiled(module.text("a test's step", _ENTRY.format(step=step, ours=OURS)))
        self._call = _CALL(self._compiled.address)

    def __call__(self, which: int, a: int, b: int, c: int) -> int:
        self._block[S.FUEL], self._to[0] = LOOP_BUDGET, 0xDEAD
        self._call(self._block.ctypes.data, self._to.ctypes.data, which, a, b, c)
        assert self._block[S.SPENT] == 0
        return int(self._to[0])


@cache
def folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="unwindlab-test-")


def load(text: str) -> Unwinder:
    """The plug-in *text*; its file must stay, for its source is read again."""
    path = Path(folder().name) / f"many{len(list(Path(folder().name).iterdir()))}.py"
    path.write_text(text)
    return load_unwinder(path)


@settings(
    max_examples=2, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(plugins(COUNT))
def test_both_dialects_compute_the_same(text: str) -> None:
    plugin = load(text)
    native, plain = Native(plugin), plain_forms(PRIMITIVES).form(plugin.step)
    inputs = list(itertools.product(NEAR, NEAR, NEAR))[::7]
    for which in range(COUNT):
        for a, b, c in inputs:
            _, expected, _ = plain(None, (which, a, b, c))
            found = native(which, a, b, c)
            assert found == expected, (
                f"f{which}({a:#x}, {b:#x}, {c:#x}): plain {expected:#x}, compiled {found:#x}\n{text}"
            )
