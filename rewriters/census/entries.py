"""Where a push belongs: behind landing pads, and behind NOPs.

NOPs at a function's start may be patchable-entry NOPs, which tracers look for there and must find untouched; or what
stands in a landing pad's place (hand-written code that jumps to "behind the pad" does so either way).
"""

from __future__ import annotations

import re

from lab.images.image import Image
from rewriters.census.scan import Scan

#: nop, bti, bti c, bti j, bti jc; not paciasp, which is a pad as well but signs.
_A64 = frozenset(word.to_bytes(4, "little") for word in (0xD503201F, 0xD503241F, 0xD503245F, 0xD503249F, 0xD50324DF))
#: endbr64; nop in all lengths compilers and assemblers use.
_X86 = re.compile(rb"\xf3\x0f\x1e\xfa|(?:\x66|\x2e)*(?:\x90|\x0f\x1f.*)", re.DOTALL)


def entry_index(image: Image, scan: Scan, low: int, high: int) -> int:
    """Index of the first instruction of [low, high) that is neither; *low* where there is no other."""
    fixed = image.arch.lr is not None
    for index in range(low, high):
        raw = image.read(scan.addresses[index], int(scan.size[index]))
        if not (raw in _A64 if fixed else _X86.fullmatch(raw)):
            return index
    return low
