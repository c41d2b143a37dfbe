"""Where a push belongs: behind landing pads and patchable-entry NOPs."""

from __future__ import annotations

from lab.images.image import Image
from rewriters.census.scan import Scan

#: bti, bti c, bti j, bti jc
_PADS = frozenset({0xD503241F, 0xD503245F, 0xD503249F, 0xD50324DF})
_NOP = 0xD503201F


def entry_index(image: Image, scan: Scan, low: int, high: int) -> int:
    """Index of the first instruction of [low, high) that is neither."""
    if image.arch.lr is None:
        patchable = image.section("__patchable_function_entries") is not None
        index = low
        while index < high:
            raw = image.read(scan.addresses[index], int(scan.size[index]))
            if raw != b"\xf3\x0f\x1e\xfa" and not (patchable and raw == b"\x90"):
                break
            index += 1
        return index
    patchable = image.section("__patchable_function_entries") is not None
    index = low
    while index < high:
        word = int.from_bytes(image.read(scan.addresses[index], 4), "little")
        if word not in _PADS and not (patchable and word == _NOP):
            break
        index += 1
    return index
