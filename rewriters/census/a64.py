"""The columns of an AArch64 image, from its instruction words at once.

Encodings: Arm Architecture Reference Manual, DDI 0487 (section C4.1, A64 instruction set encoding).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lab.images.image import Image
from rewriters.census.a64_registers import BITS, Registers, registers
from rewriters.census.a64_stack import effects
from rewriters.census.clones import clone_numbers
from rewriters.census.scan import NOWHERE, Bools, Effect, Flow, Ints, Masks, Scan
from rewriters.sites import executable_sections


def scan(image: Image) -> Scan:
    """Every word of the executable sections; data islands and literal pools are Flow.DATA."""
    address, words = _words(image)
    flow, target = _flow(words, address)
    _mark_data(image, words, address, flow)
    used = registers(words, flow)
    branches = np.nonzero(np.isin(flow, (Flow.CALL_INDIRECT, Flow.RETURN, Flow.INDIRECT)))[0]
    through = {i: f"x{word >> 5 & 31}" for i, word in zip(branches.tolist(), words[branches].tolist(), strict=True)}
    signed = np.nonzero((flow == Flow.RETURN) & (words & 0xFFFF_FBFF == 0xD65F_0BFF))[0]
    through |= dict.fromkeys(signed.tolist(), "x30")
    return Scan(
        arch=image.arch,
        bits=BITS,
        address=address,
        size=np.full(len(words), 4, np.int64),
        flow=flow,
        target=target,
        reads=used.reads,
        kills=used.kills,
        writes=used.clobbers,
        effects=_effects(words, flow, used),
        branch_register=through,
        authenticated=frozenset(signed.tolist()),
        syscalls=tuple(np.nonzero((words & 0xFFE0_001F == 0xD400_0001) & (flow == Flow.NONE))[0].tolist()),
        saves=tuple(np.nonzero(_saves(words))[0].tolist()),
        numbers=tuple(np.nonzero(_numbers(words))[0].tolist()),
        words=words,
    )


def _words(image: Image) -> tuple[Ints, Masks]:
    sections = sorted(executable_sections(image))
    words = [np.frombuffer(data, "<u4", len(data) // 4) for _, data in sections]
    starts = [
        np.arange(len(found), dtype=np.int64) * 4 + base for (base, _), found in zip(sections, words, strict=True)
    ]
    return np.concatenate(starts), np.concatenate(words).astype(np.uint32)


def _signed(field: Masks, bits: int) -> Ints:
    """A field of *bits* bits as signed numbers."""
    wide = field.astype(np.int64)
    return np.where(wide >> (bits - 1) & 1, wide - (1 << bits), wide)


def _flow(words: Masks, address: Ints) -> tuple[NDArray[np.uint8], Ints]:
    flow = np.zeros(len(words), np.uint8)
    target = np.full(len(words), -1, np.int64)

    def direct(mask: int, value: int, kind: Flow, shift: int, bits: int) -> None:
        at = np.nonzero(words & mask == value)[0]
        flow[at] = kind
        there = address[at] + 4 * _signed(words[at] >> shift & ((1 << bits) - 1), bits)
        target[at] = np.where(there < 0, NOWHERE, there)

    group = words >> 25 & 15
    flow[(group & 0b1110 == 0b1010) | np.isin(group, (0, 1, 3))] = Flow.BAD  # what follows takes back what is known
    flow[words < 0x1_0000] = Flow.TRAP  # udf
    flow[words >> 24 == 0xD5] = Flow.NONE  # system: hints, barriers, mrs, msr, sys
    flow[(words & 0xFFE0_001F == 0xD420_0000) | (words & 0xFFE0_001F == 0xD440_0000)] = Flow.TRAP  # brk, hlt
    flow[(words & 0xFFE0_001C == 0xD400_0000) & (words & 3 != 0)] = Flow.NONE  # svc, hvc, smc come back
    direct(0xFC00_0000, 0x1400_0000, Flow.JUMP, 0, 26)
    direct(0xFC00_0000, 0x9400_0000, Flow.CALL, 0, 26)
    direct(0xFF00_0000, 0x5400_0000, Flow.BRANCH, 5, 19)
    direct(0x7E00_0000, 0x3400_0000, Flow.BRANCH, 5, 19)
    direct(0x7E00_0000, 0x3600_0000, Flow.BRANCH, 5, 14)
    for mask, value, kind in _INDIRECT:
        flow[words & mask == value] = kind
    return flow, target


#: (mask, value, kind): br, blr, ret, the authenticating forms of each, eret.
_INDIRECT = (
    (0xFFFF_FC1F, 0xD61F_0000, Flow.INDIRECT),
    (0xFFFF_FC1F, 0xD63F_0000, Flow.CALL_INDIRECT),
    (0xFFFF_FC1F, 0xD65F_0000, Flow.RETURN),
    (0xFFFF_FFFF, 0xD61F_03C0, Flow.RETURN),  # br x30
    (0xFFFF_FBFF, 0xD65F_0BFF, Flow.RETURN),
    (0xFFFF_F81F, 0xD61F_081F, Flow.INDIRECT),
    (0xFFFF_F81F, 0xD63F_081F, Flow.CALL_INDIRECT),
    (0xFFFF_F800, 0xD71F_0800, Flow.INDIRECT),
    (0xFFFF_F800, 0xD73F_0800, Flow.CALL_INDIRECT),
    (0xFFFF_FFFF, 0xD69F_03E0, Flow.FAR),
    (0xFFFF_FBFF, 0xD69F_0BFF, Flow.FAR),
)


def _mark_data(image: Image, words: Masks, address: Ints, flow: NDArray[np.uint8]) -> None:
    """Islands of mapping symbols, and whatever a literal load in the text reads."""
    for start, end in image.data_ranges:
        low, high = np.searchsorted(address, (start, end))
        flow[low:high] = Flow.DATA
    loads = np.nonzero((words & 0x3B00_0000 == 0x1800_0000) & (flow == Flow.NONE))[0]
    goals = address[loads] + 4 * _signed(words[loads] >> 5 & 0x7FFFF, 19)
    for size, where in _literal_sizes(words[loads]):
        for offset in range(0, size, 4):
            found = np.searchsorted(address, goals[where] + offset)
            found = np.minimum(found, len(address) - 1)
            flow[found[address[found] == goals[where] + offset]] = Flow.DATA


def _literal_sizes(words: Masks) -> list[tuple[int, Bools]]:
    """(bytes, which of *words* load that much): by opc and V; prefetches load nothing."""
    opc, vector = words >> 30, words >> 26 & 1 == 1
    return [
        (4, ((opc == 0) | (opc == 2) & ~vector)),
        (8, opc == 1),
        (16, (opc == 2) & vector),
    ]


def _saves(words: Masks) -> Bools:
    """stp and ldp of x19 to x28 at x0."""
    found: Bools = (words & 0xFF80_03E0 == 0xA900_0000) & (words & 31 >= 19) & (words & 31 <= 28)
    return found


def _numbers(words: Masks) -> Bools:
    """movz x8 or w8 with a number that clones."""
    number = words >> 5 & 0xFFFF
    found: Bools = (words & 0x7FE0_001F == 0x5280_0008) & np.isin(number, list(clone_numbers("aarch64")))
    return found


def _effects(words: Masks, flow: NDArray[np.uint8], used: Registers) -> dict[int, Effect]:
    marked = np.nonzero(used.stack & (flow == Flow.NONE))[0]
    found = ((i, effects(word)) for i, word in zip(marked.tolist(), words[marked].tolist(), strict=True))
    return {i: known for i, known in found if known}
