"""Row 48: find XRay sleds by looking for the known NOPs, and score that against the compiler's own records.

Two searches an architecture: one that knows the sled's first instruction, and a cruder one that only knows
how many NOPs there must be.  What the cruder one confuses with a sled is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lab.images.image import Image
from rewriters.sites import Ranges, executable_sections, words

_A64_NOP, _A64_JUMP_OVER = 0xD503201F, 0x14000008
_A64_NOPS = 7
_BTI_HINTS = frozenset({0xD503241F, 0xD503245F, 0xD503249F, 0xD50324DF})
#: x86-64: jmp +9 or ret before the sled's NOP with displacement 0x200; then any NOP of 9 or 10 bytes.
_X86_SLED = re.compile(rb"\xeb\x09\x66\x0f\x1f\x84\x00\x00\x02\x00\x00|\xc3\x2e\x66\x0f\x1f\x84\x00\x00\x02\x00\x00")
_X86_LONG_NOP = re.compile(rb"(?:\x66|\x2e\x66|\x66\x2e)\x0f\x1f\x84\x00....", re.DOTALL)


def score_scan(image: Image, recorded: dict[int, str]) -> dict[str, Any]:
    """Precision and recall of each search against *recorded* (sled address -> kind), with confusions counted."""
    searches = _A64_SEARCHES if image.arch.lr is not None else _X86_SEARCHES
    patchable = _patchable(image)
    return {name: _score(image, dict.fromkeys(search(image)), recorded, patchable) for name, search in searches.items()}


def _score(image: Image, found: dict[int, None], recorded: dict[int, str], patchable: set[int]) -> dict[str, Any]:
    true = [a for a in found if a in recorded]
    false = [a for a in found if a not in recorded]
    return {
        "found": len(found),
        "recorded": len(recorded),
        "true": len(true),
        "precision": len(true) / len(found) if found else None,
        "recall": len(true) / len(recorded) if recorded else None,
        "missed": dict(Counter(kind for address, kind in sorted(recorded.items()) if address not in found)),
        "confused_with": dict(Counter(_confusion(image, a, patchable) for a in sorted(false))),
    }


def _confusion(image: Image, address: int, patchable: set[int]) -> str:
    """What was taken for a sled at *address*."""
    if address in patchable:
        return "patchable-entry NOPs"
    if image.arch.lr is not None and _word(image, address) in _BTI_HINTS:
        return "BTI hint"
    function = image.function_at(address)
    if function is None:
        return "alignment padding between functions"
    return "alignment padding in a function"


def _word(image: Image, address: int) -> int:
    return int.from_bytes(image.read(address, 4), "little")


def _patchable(image: Image) -> set[int]:
    """Addresses listed in __patchable_function_entries (8-byte absolute each), and the word before each."""
    section = image.section("__patchable_function_entries")
    if section is None:
        return set()
    data = section.data
    starts = {int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data) - 7, 8)}
    return starts | {start - 4 for start in starts}


def _a64_known(image: Image) -> Iterator[int]:
    stream = list(words(image))
    for i, (address, word) in enumerate(stream):
        if word == _A64_JUMP_OVER and _run(stream, i + 1) >= _A64_NOPS:
            yield address


def _a64_crude(image: Image) -> Iterator[int]:
    """The word before each run of exactly seven NOPs (hints of the BTI kind look like NOPs to this search)."""
    stream = list(words(image))
    i = 0
    while i < len(stream):
        length = _run(stream, i)
        if length == _A64_NOPS and i:
            yield stream[i - 1][0] if stream[i][1] == _A64_NOP else stream[i][0]
        i += max(length, 1)


def _run(stream: list[tuple[int, int]], start: int) -> int:
    """How many contiguous NOP-like words begin at index *start*."""
    length = 0
    while start + length < len(stream):
        address, word = stream[start + length]
        if word != _A64_NOP and word not in _BTI_HINTS:
            break
        if length and address != stream[start][0] + 4 * length:
            break
        length += 1
    return length


def _x86_known(image: Image) -> Iterator[int]:
    islands = Ranges(image.data_ranges)
    for base, data in executable_sections(image):
        for match in _X86_SLED.finditer(data):
            if base + match.start() not in islands:
                yield base + match.start()


def _x86_crude(image: Image) -> Iterator[int]:
    """Where a sled would start before any 9-byte NOP (two bytes earlier) or 10-byte one (one byte earlier)."""
    islands = Ranges(image.data_ranges)
    for base, data in executable_sections(image):
        for match in _X86_LONG_NOP.finditer(data):
            size = match.end() - match.start()
            if base + match.start() not in islands:
                yield base + match.start() - (2 if size == 9 else 1)


_A64_SEARCHES = {"b #32 and 7 nops": _a64_known, "7 nops": _a64_crude}
_X86_SEARCHES = {"jmp/ret and a 9/10-byte nop": _x86_known, "any 9/10-byte nop": _x86_crude}
