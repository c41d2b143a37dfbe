"""What one AArch64 instruction does to SP, FP (x29) and the link register (x30).

Encodings: DDI 0487, section C4.1.  A form that is not told apart loses what it may write, never keeps it.
"""

from __future__ import annotations

from rewriters.census.scan import Effect, Op

_SP, _FP, _LR = 31, 29, 30
#: str x30, [x18], #8 and ldr x30, [x18, #-8]!: -fsanitize=shadow-call-stack
_SHADOW: dict[int, Effect] = {0xF800865E: ((Op.LR_SAVE, 2, 0),), 0xF85F8E5E: ((Op.LR_LOAD, 2, 0),)}
_BASES = {_SP: 0, _FP: 1}


def signed(value: int, bits: int) -> int:
    """The low *bits* of *value* as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def effects(word: int) -> Effect:
    """Effects of one instruction that is no branch."""
    if word in _SHADOW:
        return _SHADOW[word]
    group = word >> 25 & 15
    if group & 0b0101 == 0b0100:
        return _memory(word)
    if group & 0b1110 == 0b1000:
        return _immediate(word)
    if group & 0b0111 == 0b0101:
        return _register(word)
    return _lost(word & 31)


def _lost(register: int) -> Effect:
    """*register* now holds something nobody follows."""
    known: dict[int, Effect] = {_SP: ((Op.SP_LOST,),), _FP: ((Op.FP_LOST,),), _LR: ((Op.LR_LOST,),)}
    return known.get(register, ())


def _immediate(word: int) -> Effect:
    d, n = word & 31, word >> 5 & 31
    kind = word >> 23 & 7
    if kind == 2 and word >> 29 & 1 == 0 and word >> 31:
        amount = (word >> 10 & 0xFFF) << (12 if word >> 22 & 1 else 0)
        return _sum(d, n, -amount if word >> 30 & 1 else amount)
    if d == _SP and kind == 4:
        return () if word >> 29 & 3 == 3 else ((Op.SP_ALIGN,),)
    if d == _SP and (word >> 29 & 1):  # cmp, cmn
        return ()
    return _lost(d)


def _sum(d: int, n: int, amount: int) -> Effect:
    """d = n + amount."""
    if d == _SP:
        known: dict[int, Effect] = {_SP: ((Op.SP_ADD, amount),), _FP: ((Op.SP_FP, amount),)}
        return known.get(n, ((Op.SP_REG, f"x{n}", amount),))
    if d == _FP:
        known = {_SP: ((Op.FP_SP, amount),), _FP: ((Op.FP_ADD, amount),)}
        return known.get(n, ((Op.FP_LOST,),))
    return ((Op.LR_LOST,),) if d == _LR else ()


def _register(word: int) -> Effect:
    d, n, m = word & 31, word >> 5 & 31, word >> 16 & 31
    if d == _SP and word & 0x1FE0_0000 == 0x0B20_0000:  # add, sub, extended register
        if word >> 29 & 1:
            return ()
        whole = word >> 31 and not word >> 10 & 7 and word >> 13 & 3 == 3
        if n != _SP or not whole:
            return ((Op.SP_LOST,),)
        return ((Op.SP_MOVE, f"x{m}", -1 if word >> 30 & 1 else 1),)
    if d == _LR and word & 0xFFFF_8000 == 0xDAC1_0000:  # pac*, aut*, xpac* of x30: still the return address
        return ()
    if d == _LR and word & 0xFFE0_FFE0 == 0xAA00_03E0:  # mov x30, xM
        return ((Op.LR_REG, f"x{m}"),)
    return _lost(d)


def _memory(word: int) -> Effect:
    if word & 0x3A00_0000 == 0x2800_0000:
        return _pair(word)
    if word & 0x3A00_0000 == 0x3800_0000 and (word >> 24 & 1 or not word >> 21 & 1):
        return _single(word)
    registers = [word & 31, word >> 10 & 31, word >> 16 & 31] if not word >> 26 & 1 else []
    if word & 0x3B20_0C00 == 0x3820_0800:  # register offset: no write-back
        return () if word >> 22 & 3 == 0 or word >> 26 & 1 else _of_each([word & 31], None, ())
    if word & 0xFF20_0000 == 0xD920_0000:  # stg and its kin: the base is written back where bit 10 is set
        written = [word & 31] if not word & 0xC00 and word & 31 != _SP else []
        return _of_each(written + ([word >> 5 & 31] if word & 0x400 else []), None, ())
    if word & 0x3B20_0C00 == 0x1900_0400:  # cpy, set
        return _of_each([r for r in (word & 31, word >> 5 & 31, word >> 16 & 31) if r != _SP], None, ())
    if word & 0xBFA0_7C00 == 0x0820_7C00:  # casp writes its first pair
        return _of_each([r for r in (word >> 16 & 31, (word >> 16 & 31) + 1) if r != _SP], None, ())
    if word & 0x3B00_0000 == 0x1800_0000:
        return () if word >> 26 & 1 else _lost(word & 31)
    base = word >> 5 & 31
    if base == _SP and word & 0x3F80_0000 in {0x0C00_0000, 0x0D00_0000}:  # ld1 and so on without write-back
        base = -1
    if word & 0x3F00_0000 == 0x0800_0000 or word & 0x3B20_0C00 == 0x3820_0000:  # exclusives, atomics: no write-back
        base = -1
    return _of_each([r for r in registers if r != _SP] + [base], None, ())


def _of_each(registers: list[int], base: int | None, first: Effect) -> Effect:
    """*first*, then each of *registers* lost (not *base*, which *first* deals with)."""
    found = list(first)
    for register in dict.fromkeys(registers):
        if register != base:
            found.extend(_lost(register))
    return tuple(found)


def _pair(word: int) -> Effect:
    mode, vector, load = word >> 23 & 3, word >> 26 & 1, word >> 22 & 1
    opc = word >> 30
    scale = 4 << opc if vector else (8 if opc == 2 else 4)
    if opc == 1 and not vector and not load:
        scale = 16  # stgp
    offset = signed(word >> 15, 7) * scale
    size = scale if vector or opc != 1 else 4
    parts = [] if vector else [(word & 31, 0), (word >> 10 & 31, size)]
    whole = opc == 2 or (opc == 1 and not load)
    return _access(word, {1: "post", 2: "", 3: "pre", 0: ""}[mode], offset, parts, load=bool(load), whole=whole)


def _single(word: int) -> Effect:
    vector, opc, size = word >> 26 & 1, word >> 22 & 3, word >> 30
    load = opc != 0
    if word >> 24 & 1:
        scale = size if not vector else size | (opc & 2) << 1
        mode, offset = "", (word >> 10 & 0xFFF) << scale
    else:
        mode, offset = {0: "", 1: "post", 2: "", 3: "pre"}[word >> 10 & 3], signed(word >> 12, 9)
    parts = [] if vector or (size == 3 and opc == 2) else [(word & 31, 0)]
    return _access(word, mode, offset, parts, load=load, whole=size == 3)


def _access(word: int, mode: str, offset: int, parts: list[tuple[int, int]], *, load: bool, whole: bool) -> Effect:
    """Loads or stores of *parts* (register, distance) at the base + *offset*; *whole*: 64 bits each."""
    base = word >> 5 & 31
    at = 0 if mode == "post" else offset
    found: list[tuple[int | str, ...]] = []
    lost: list[tuple[int | str, ...]] = []
    for register, distance in parts:
        slot = whole and base in _BASES
        if register == _LR and (slot or load):
            kind = Op.LR_LOAD if load else Op.LR_SAVE
            found.append((kind, _BASES[base], at + distance) if slot else (Op.LR_LOST,))
        elif register == _FP and load:
            lost.append((Op.FP_LOST,))
    if mode and base == _SP:
        found.append((Op.SP_ADD, offset))
    elif mode and base == _FP:
        lost = [(Op.FP_ADD, offset)]
    elif mode and base == _LR:
        lost.append((Op.LR_LOST,))
    return tuple(found + lost)
