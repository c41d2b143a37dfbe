"""AArch64 by encoding: calls, and where stores write.

Source: Arm ARM DDI 0487, C4.1 "A64 instruction set encoding": "Loads and Stores" (bit 27 = 1, bit 25 = 0) and its
tables, "Unconditional branch (register)", "System instructions".  An encoding that is in no row below, however
harmless, may write anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.engine.native.store_row import (
    ANYWHERE,
    CALL,
    NO_REGISTER,
    NOTHING,
    RETURN,
    SIGN_EXTEND,
    ZERO_EXTEND,
    Classified,
    Effect,
    store,
)

#: bl; blr; blraaz, blrabz; blraa, blrab: (mask, value).
_CALLS = (
    (0xFC00_0000, 0x9400_0000),
    (0xFFFF_FC1F, 0xD63F_0000),
    (0xFFFF_F81F, 0xD63F_081F),
    (0xFFFF_F800, 0xD73F_0800),
)


def classify_aarch64(code: bytes) -> Classified:
    """The instruction in the first four bytes of *code*; fewer than four can only fault."""
    if len(code) < 4:
        return Classified(4, *ANYWHERE)
    return Classified(4, *_effect(int.from_bytes(code[:4], "little")))


def _effect(word: int) -> Effect:
    if word & 0x0A00_0000 == 0x0800_0000:
        decode = next((decode for mask, value, decode in _LOADS_AND_STORES if word & mask == value), None)
        return decode(word) if decode else ANYWHERE
    if any(word & mask == value for mask, value in _CALLS):
        return Effect(CALL, 0)
    if word & 0xFFFF_FC1F == 0xD65F_0000 or word in {0xD65F_0BFF, 0xD65F_0FFF}:  # ret, retaa, retab
        return Effect(RETURN, 0)
    return ANYWHERE if _writes_otherwise(word) else NOTHING


def _writes_otherwise(word: int) -> bool:
    """Outside the group: SVE, SME and unallocated space (bits 28..27 = 0) but udf, and all of SYS, SYSL and SYSP,
    where dc zva and the guarded control stack's pushes are."""
    vectors = word & 0x1800_0000 == 0 and word >> 16 != 0
    system = word & 0xFF98_0000 == 0xD508_0000
    return vectors or system


def _field(word: int, low: int, bits: int) -> int:
    return word >> low & (1 << bits) - 1


def _signed(value: int, bits: int) -> int:
    return (value ^ 1 << bits - 1) - (1 << bits - 1)


def _rn(word: int) -> int:
    return word >> 5 & 31  # 31 is sp as a base, in every row here


def _exclusive(word: int) -> Effect:
    """stxr, stlxr, stxp, stlxp, stllr, stlr, cas, casp and their loads.  A store-exclusive may fail to store."""
    size, ordered, load, pair = _field(word, 30, 2), _field(word, 23, 1), _field(word, 22, 1), _field(word, 21, 1)
    if pair and ordered:
        return store(1 << size, _rn(word))  # cas: the load bit says acquire
    if pair and size < 2:
        return store(8 << size, _rn(word))  # casp
    if load:
        return NOTHING
    return store(1 << size + pair, _rn(word))


#: Opcode of a multiple-structure access -> vector registers.
_STRUCTURE_REGISTERS = {0: 4, 2: 4, 4: 3, 6: 3, 7: 1, 8: 2, 10: 2}


def _structures(word: int) -> Effect:
    """ld1..ld4 and st1..st4 of whole vectors."""
    count = _STRUCTURE_REGISTERS.get(_field(word, 12, 4))
    if count is None:
        return ANYWHERE
    return NOTHING if _field(word, 22, 1) else store(count * (8 << _field(word, 30, 1)), _rn(word))


def _one_lane(word: int) -> Effect:
    """ld1..ld4 and st1..st4 of one lane, and ld1r..ld4r."""
    if _field(word, 22, 1):
        return NOTHING
    scale, again = _field(word, 14, 2), _field(word, 10, 2)
    if scale == 3:
        return ANYWHERE
    if scale == 2 and again & 1:
        scale = 3
    count = 1 + _field(word, 21, 1) + 2 * _field(word, 13, 1)
    return store(count << scale, _rn(word))


def _literal(word: int) -> Effect:
    unallocated = _field(word, 26, 1) and _field(word, 30, 2) == 3
    return ANYWHERE if unallocated else NOTHING


def _release_unscaled(word: int) -> Effect:
    """stlur and ldapur (FEAT_LRCPC2): immediate, no vector registers."""
    effect = _single(word, _signed(_field(word, 12, 9), 9))
    return ANYWHERE if _is_prefetch(word) else effect


def _pair(word: int) -> Effect:
    """stp, stnp, ldp, ldnp, ldpsw.  stgp and opc = 3 are not here: they may write anywhere."""
    opc, vector, load = _field(word, 30, 2), _field(word, 26, 1), _field(word, 22, 1)
    mode = _field(word, 23, 2)  # no-allocate, post-indexed, offset, pre-indexed
    signed = opc == 1 and not vector
    if opc == 3 or (signed and (not load or mode == 0)):
        return ANYWHERE
    if load:
        return NOTHING
    scale = 2 + opc if vector else 2 + opc // 2
    displacement = 0 if mode == 1 else _signed(_field(word, 15, 7), 7) << scale
    return store(2 << scale, _rn(word), displacement)


def _is_prefetch(word: int) -> bool:
    return _field(word, 26, 1) == 0 and _field(word, 30, 2) == 3 and _field(word, 22, 2) == 2


def _scale(word: int) -> int | None:
    """log2 of the bytes a single-register form stores, -1 for a load or prefetch, None where unallocated."""
    size, vector, opc = _field(word, 30, 2), _field(word, 26, 1), _field(word, 22, 2)
    if opc == 0:
        return size
    if opc == 1:
        return -1
    if vector:
        return {2: 4, 3: -1}[opc] if size == 0 else None
    return None if opc == 3 and size > 1 else -1


def _single(word: int, displacement: int, *, scaled: bool = False) -> Effect:
    scale = _scale(word)
    if scale is None:
        return ANYWHERE
    if scale < 0:
        return NOTHING
    return store(1 << scale, _rn(word), displacement << scale if scaled else displacement)


def _unsigned_offset(word: int) -> Effect:
    return _single(word, _field(word, 10, 12), scaled=True)


def _immediate(word: int) -> Effect:
    """Unscaled, post-indexed, unprivileged and pre-indexed: a signed 9-bit offset."""
    mode = _field(word, 10, 2)
    if (mode and _is_prefetch(word)) or (mode == 2 and _field(word, 26, 1)):
        return ANYWHERE
    return _single(word, 0 if mode == 1 else _signed(_field(word, 12, 9), 9))


#: option -> how the index is extended: uxtw, lsl, sxtw, sxtx.
_EXTENDS = {2: ZERO_EXTEND, 3: 0, 6: SIGN_EXTEND, 7: 0}


def _register_offset(word: int) -> Effect:
    extend, scale = _EXTENDS.get(_field(word, 13, 3)), _scale(word)
    if extend is None or scale is None:
        return ANYWHERE
    if scale < 0:
        return NOTHING
    index = _field(word, 16, 5)
    shift = scale * _field(word, 12, 1)
    return store(1 << scale, _rn(word), index=NO_REGISTER if index == 31 else index, extend=extend | shift)


def _atomic(word: int) -> Effect:
    """ldadd to ldumin (and stadd, ...), swp; ldapr.  The rest (st64b, rcw...) may write anywhere."""
    operation = _field(word, 12, 4)
    if operation <= 8:
        return store(1 << _field(word, 30, 2), _rn(word))
    return NOTHING if operation == 12 and _field(word, 22, 2) == 2 else ANYWHERE


def _signed_load(_word: int) -> Effect:
    """ldraa, ldrab."""
    return NOTHING


#: (mask, value, decoder): disjoint.
_LOADS_AND_STORES: tuple[tuple[int, int, Callable[[int], Effect]], ...] = (
    (0x3B00_0000, 0x3900_0000, _unsigned_offset),
    (0x3A00_0000, 0x2800_0000, _pair),
    (0x3B20_0000, 0x3800_0000, _immediate),
    (0x3B20_0C00, 0x3820_0800, _register_offset),
    (0x3B00_0000, 0x1800_0000, _literal),
    (0x3F00_0000, 0x0800_0000, _exclusive),
    (0x3F20_0C00, 0x1900_0000, _release_unscaled),
    (0x3F20_0C00, 0x3820_0000, _atomic),
    (0xFF20_0400, 0xF820_0400, _signed_load),
    (0xBFBF_0000, 0x0C00_0000, _structures),
    (0xBFA0_0000, 0x0C80_0000, _structures),
    (0xBF9F_0000, 0x0D00_0000, _one_lane),
    (0xBF80_0000, 0x0D80_0000, _one_lane),
)
