"""Which frame descriptions belong to one function, in images where no symbol says so.

A compiler splits a function (``f.cold``) into parts that have a frame description each, and a part that jumps back into
the other's middle must not be taken for a longjmp that lands there.  Where calls push the return address SP tells the
two apart: an inner activation's is below the outer one's.  Where they do not, the jumps themselves are looked at.
Source: Arm ARM C4.1.65 (branches: B, B.cond, CBZ, CBNZ, TBZ, TBNZ).
"""

from __future__ import annotations

import numpy as np

from lab.images.image import Function, Image

_FORMS = ((0xFC000000, 0x14000000, 0, 26), (0xFF000000, 0x54000000, 5, 19), (0x7E000000, 0x34000000, 5, 19),
          (0x7E000000, 0x36000000, 5, 14))  # fmt: skip
"""Direct jumps: mask, value, lowest bit and width of the distance in words."""


def parents(image: Image) -> dict[int, int]:
    """Start of a function -> start of the first of those it shares code with: they jump into each other's middle,
    and at least one of the two has no symbol."""
    lone = [f for f in image.functions if not f.symbol]
    if image.arch.call_pushes or not lone:
        return {}
    found: dict[int, int] = {}
    for function in image.functions:
        for target in _targets(image, function):
            home = image.function_at(target)
            if home is None or home.start in {target, function.start} or (home.symbol and function.symbol):
                continue
            one, two = sorted((_first(found, function.start), _first(found, home.start)))
            if one != two:
                found[two] = one
    return {start: _first(found, start) for start in found}


def _first(found: dict[int, int], start: int) -> int:
    while start in found:
        start = found[start]
    return start


def _targets(image: Image, function: Function) -> list[int]:
    """Where the direct jumps of *function* lead, as far as that is outside it."""
    words = np.frombuffer(image.read(function.start, function.size // 4 * 4), "<u4")
    places = function.start + 4 * np.arange(len(words), dtype=np.int64)
    found: set[int] = set()
    for mask, value, low, width in _FORMS:
        at = np.flatnonzero(words & mask == value)
        distance = (words[at] >> low & (1 << width) - 1).astype(np.int64)
        distance -= (distance >> width - 1) << width
        found.update((places[at] + 4 * distance).tolist())
    return sorted(target for target in found if not function.start <= target < function.end)
