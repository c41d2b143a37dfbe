"""Which general registers an AArch64 instruction reads and overwrites, for all words at once.

Reading is over-estimated (a field counts where the form is not told apart), overwriting (``kills``) under-estimated,
``clobbers`` is over-estimated.  Bit 31 stands for the flags.  Encodings: DDI 0487, section C4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewriters.census.scan import Bools, Flow, Masks

FLAGS = 1 << 31
BITS = {f"x{i}": 1 << i for i in range(31)} | {"flags": FLAGS}
_BIT = np.array([1 << i for i in range(31)] + [0], np.uint32)
_ALL = np.uint32(0xFFFF_FFFF)


@dataclass(frozen=True)
class Registers:
    """Masks per word; ``stack``: may change SP, FP or the link register, or stores the link register."""

    reads: Masks
    kills: Masks
    clobbers: Masks
    stack: Bools


@dataclass(frozen=True)
class _Fields:
    """A word's register fields as masks, and the word."""

    w: Masks
    d: Masks
    n: Masks
    a: Masks
    m: Masks


def registers(words: Masks, flow: NDArray[np.uint8]) -> Registers:
    """The masks of *words*; instructions of another kind than Flow.NONE only read what decides or leads a branch."""
    f = _Fields(words, *(_BIT[words >> shift & 31] for shift in (0, 5, 10, 16)))
    reads = np.zeros(len(words), np.uint32)
    kills = np.zeros(len(words), np.uint32)
    clobbers = np.zeros(len(words), np.uint32)
    group = words >> 25 & 15
    for part, where in (
        (_immediate, group & 0b1110 == 0b1000),
        (_register, group & 0b0111 == 0b0101),
        (_memory, group & 0b0101 == 0b0100),
        (_vector, group & 0b0111 == 0b0111),
        (_scalable, group == 0b0010),
        (_branch, group & 0b1110 == 0b1010),
    ):
        at = np.nonzero(where)[0]
        here = _Fields(f.w[at], f.d[at], f.n[at], f.a[at], f.m[at])
        reads[at], kills[at], clobbers[at] = part(here)
    dead = np.isin(flow, (Flow.TRAP, Flow.DATA, Flow.BAD))
    for column in (reads, kills, clobbers):
        column[dead] = 0
    return Registers(reads, kills, clobbers, _stack(words, group, clobbers))


Effects = tuple[Masks, Masks, Masks]


def _pick(where: Bools, masks: Masks) -> Masks:
    """*masks* where *where*, else no bits."""
    return np.where(where, masks, np.uint32(0))


def _flag(where: Bools) -> Masks:
    return np.where(where, np.uint32(FLAGS), np.uint32(0))


def _immediate(f: _Fields) -> Effects:
    """Data processing, immediate."""
    kind = f.w >> 23 & 7
    opc = f.w >> 29 & 3
    relative, wide, field, extract = kind <= 1, kind == 5, kind == 6, kind == 7
    keeps = (wide & (opc == 3)) | (field & (opc == 1))
    reads = _pick(~relative & ~wide, f.n) | _pick(keeps, f.d) | _pick(extract, f.m)
    sets = ((kind == 2) & (opc & 1 == 1)) | ((kind == 4) & (opc == 3))
    kills = f.d | _flag(sets)
    return reads, kills, kills


def _register(f: _Fields) -> Effects:
    """Data processing, register."""
    three = f.w & 0x1F00_0000 == 0x1B00_0000
    one = f.w & 0x5FE0_0000 == 0x5AC0_0000
    signing = one & (f.w & 0x1F_0000 != 0)
    compare = f.w & 0x1FE0_0000 == 0x1A40_0000
    carry = f.w & 0x1FE0_0000 == 0x1A00_0000
    odd = carry & (f.w & 0xFC00 != 0)  # rmif, setf: flags from a register
    select = f.w & 0x1FE0_0000 == 0x1A80_0000
    literal = compare & (f.w & 0x800 != 0)
    reads = f.n | _pick(~one & ~literal, f.m) | _pick(three, f.a) | _pick(signing, f.d)
    reads |= _flag(compare | carry | select)
    logical = (f.w & 0x1F00_0000 == 0x0A00_0000) & (f.w >> 29 & 3 == 3)
    arithmetic = (f.w & 0x1F00_0000 == 0x0B00_0000) & (f.w >> 29 & 1 == 1)
    subps = f.w & 0xFFE0_FC00 == 0xBAC0_0000
    carried = carry & ~odd & (f.w >> 29 & 1 == 1)
    kills = _pick(~compare & ~odd, f.d) | _flag(logical | arithmetic | compare | subps | carried)
    return reads, kills, kills | _flag(odd)


def _memory(f: _Fields) -> Effects:
    """Loads and stores."""
    vector, load = f.w >> 26 & 1 == 1, f.w >> 22 & 1 == 1
    literal = f.w & 0x3B00_0000 == 0x1800_0000
    pair = f.w & 0x3A00_0000 == 0x2800_0000
    single = f.w & 0x3A00_0000 == 0x3800_0000
    unsigned = single & (f.w >> 24 & 1 == 1)
    short = single & ~unsigned & (f.w >> 21 & 1 == 0)
    indexed = single & ~unsigned & (f.w & 0x20_0C00 == 0x20_0800)
    plain = unsigned | short | indexed
    prefetch = plain & ~vector & (f.w >> 30 == 3) & (f.w >> 22 & 3 == 2)
    stores = plain & ~vector & (f.w >> 22 & 3 == 0)
    loads = plain & ~vector & ~stores & ~prefetch
    copying = f.w & 0x3B20_0C00 == 0x1900_0400  # cpy, set: three registers, all updated
    structure = vector & ~pair & ~plain & ~literal & ~copying
    tags = f.w & 0xFF20_0000 == 0xD920_0000  # stg, ldg: the register at bit 0 is read; ldg and ldgm also write it
    known = pair | plain | literal | structure | tags
    moving = (pair & (f.w >> 23 & 1 == 1)) | (short & (f.w >> 10 & 1 == 1))
    reads = _pick(~literal, f.n) | _pick(indexed | structure | ~known, f.m)
    reads |= _pick(stores | (pair & ~vector & ~load) | ~known, f.d)
    reads |= _pick((pair & ~vector & ~load) | ~known, f.a)
    fixed = literal & ~vector & (f.w >> 30 != 3)
    kills = _pick(loads | (pair & ~vector & load) | fixed, f.d) | _pick(pair & ~vector & load, f.a)
    kills |= _pick(moving, f.n)
    reads |= _pick(tags, f.d)
    clobbers = kills | _pick(~known, f.d | f.a | f.m | f.n) | _pick(structure, f.n)
    twins = f.w & 0xBFA0_7C00 == 0x0820_7C00  # casp: each register and the one after it
    reads |= _pick(twins, (f.d | f.m) << np.uint32(1))
    clobbers |= _pick(twins, f.m << np.uint32(1))
    clobbers |= _pick(tags & (f.w & 0xC00 == 0), f.d) | _pick(tags & (f.w & 0x400 != 0), f.n)
    return reads, kills, clobbers


def _vector(f: _Fields) -> Effects:
    """SIMD and floating point: a general register in a conversion, a move, a duplication."""
    scalar = f.w & 0x5F00_0000 == 0x1E00_0000
    convert = scalar & ((f.w & 0x20_FC00 == 0x20_0000) | (f.w & 0x20_0000 == 0))
    copy = f.w & 0x9FE0_8400 == 0x0E00_0400
    compare = (f.w & 0x5F20_3C00 == 0x1E20_2000) | (f.w & 0x5F20_0C00 == 0x1E20_0400)
    wants = f.w & 0x5F20_0400 == 0x1E20_0400  # fccmp, fcsel
    touched = convert | copy
    reads = _pick(touched, f.n) | _flag(wants)
    return reads, _flag(compare), _pick(touched, f.d) | _flag(compare)


def _scalable(f: _Fields) -> Effects:
    """SVE: any field may be a general register."""
    touched = f.d | f.n | f.a | f.m
    compares = (f.w >> 24 == 0x24) | (f.w & 0xFF20_E000 == 0x2520_0000)  # cmp of vectors, while
    return touched, _flag(compares), touched | FLAGS


_HINT_1716 = (0xD503211F, 0xD503215F, 0xD503219F, 0xD50321DF, 0xD503251F)  # pac and aut 1716, chkfeat


def _branch(f: _Fields) -> Effects:
    """Branches and system instructions.  Calls are the caller's business."""
    by_register = f.w >> 25 == 0x6B
    tested = f.w & 0x7C00_0000 == 0x3400_0000
    conditional = f.w >> 24 == 0x54
    system = f.w >> 24 == 0xD5
    taking = system & (f.w >> 21 & 1 == 1)  # mrs, sysl: L = 1
    x1716 = np.isin(f.w, _HINT_1716)
    both = np.uint32(1 << 16 | 1 << 17)
    authenticated = (f.w >> 24 == 0xD7) & by_register
    of_flags = f.w & 0xFFFF_FFE0 == 0xD53B_4200
    reads = _pick(by_register, f.n) | _pick(authenticated | tested, f.d) | _flag(conditional | of_flags)
    reads |= _pick(system & ~taking, f.d) | np.where(x1716, both, np.uint32(0))
    reads |= np.where(f.w & 0xFFFF_FBFF == 0xD65F_0BFF, np.uint32(1 << 30), np.uint32(0))  # retaa, retab
    kills = _pick(taking, f.d) | _flag(f.w & 0xFFFF_FFE0 == 0xD51B_4200)
    return reads, kills, kills | np.where(x1716, np.uint32(1 << 17), np.uint32(0))


def _stack(words: Masks, group: Masks, clobbers: Masks) -> Bools:
    """Words that may write SP (register 31 as destination, or as base with write-back), x29 or x30, or store x30."""
    d, n, a = words & 31, words >> 5 & 31, words >> 10 & 31
    memory = group & 0b0101 == 0b0100
    to_sp = (group & 0b1110 == 0b1000) & (d == 31) & np.isin(words >> 23 & 7, (2, 3, 4))
    to_sp |= (words & 0x1FE0_0000 == 0x0B20_0000) & (d == 31)
    to_sp |= (words & 0xFFE0_FC00 == 0x9AC0_1000) & (d == 31)  # irg
    to_sp |= (group == 0b0010) & (d == 31)
    pair = words & 0x3A00_0000 == 0x2800_0000
    plain = (words & 0x3B00_0000 == 0x3900_0000) | (words & 0x3B20_0C00 == 0x3800_0000)
    on_sp = memory & (n == 31) & ~(pair & (words >> 23 & 1 == 0)) & ~plain & (words & 0x3B00_0000 != 0x1800_0000)
    saves = memory & (words >> 26 & 1 == 0) & ((d == 30) | (pair & (a == 30)))
    found: Bools = to_sp | on_sp | saves | (clobbers & (1 << 29 | 1 << 30) != 0)
    return found
