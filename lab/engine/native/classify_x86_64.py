"""x86-64: calls, repeated string instructions, and where stores write.

Control flow and the implicit stores (stack, strings) go by opcode, as in Intel SDM vol. 2 appendix A; explicit memory
operands by capstone's operands and the tables of ``x86_64_stores``.  A memory operand with an unlisted mnemonic, an
fs or gs base, 32-bit addressing and every instruction that may load a segment descriptor may write anywhere.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import capstone
from capstone import x86_const

from lab.engine.native.store_row import (
    ANYWHERE,
    CALL,
    NO_REGISTER,
    NOTHING,
    PC,
    REPEAT,
    RETURN,
    ROW_REGISTERS,
    STORE,
    UNPREDICTED,
    Classified,
    Effect,
    store,
)
from lab.engine.native.x86_64_stores import INTEGER_WRITERS, NEVER_BYTES, READERS, SIZED_WRITERS, X87_WRITERS

_NUMBERS = {name: number for number, name in enumerate(ROW_REGISTERS["x86_64"])}
_RSP, _RDI = _NUMBERS["rsp"], _NUMBERS["rdi"]

_PREFIXES = frozenset(bytes.fromhex("f0f2f3262e363e64656667"))
_FS_GS = frozenset(b"\x64\x65")
_SELECTING = frozenset(b"\x66\xf2\xf3")
_EVEX = 0x62
_NO_OPCODE = -1
_RETURNS = frozenset({0xC2, 0xC3})
_CALL_DIRECT, _GROUP_5, _ENTER, _POP_MEMORY, _MOV_FROM_SEGMENT = 0xE8, 0xFF, 0xC8, 0x8F, 0x8C
#: Opcode -> whether the string instruction writes [rdi]: ins, outs, movs, cmps, stos, lods, scas.
_STRINGS = {
    0x6C: True, 0x6D: True, 0x6E: False, 0x6F: False, 0xA4: True, 0xA5: True, 0xA6: False, 0xA7: False,
    0xAA: True, 0xAB: True, 0xAC: False, 0xAD: False, 0xAE: False, 0xAF: False,
}  # fmt: skip
_INS = frozenset({0x6C, 0x6D})
#: push register, immediate, flags, fs, gs.
_PUSHES = frozenset({*range(0x50, 0x58), 0x68, 0x6A, 0x9C, 0x0FA0, 0x0FA8})
#: Write memory that no operand names, or may: the accessed bit of a segment descriptor (mov to a segment register, pop
#: fs, pop gs, lss, lfs, lgs, retf, iret), tables and virtual machines (0f 00, 0f 01), system returns, rsm, padlock,
#: int n and int1, getsec.
_ANYWHERE = frozenset(
    {0x8E, 0x0FA1, 0x0FA9, 0x0FB2, 0x0FB4, 0x0FB5, 0xCA, 0xCB, 0xCF, 0x0F00, 0x0F01, 0x0F07, 0x0F34, 0x0F35}
) | {0x0FAA, 0x0FA6, 0x0FA7, 0xCD, 0xF1, 0x0F37}
_MASKED_MOVES = frozenset({"maskmovq", "maskmovdqu", "vmaskmovdqu"})


class _Form(NamedTuple):
    """What the bytes before the operands say.  ``opcode`` is 0x0f.. for the two-byte map, _NO_OPCODE for 0f 38,
    0f 3a, VEX and EVEX; ``next`` the byte after it (ModRM where there is one); ``doubtful``: processors and emulators
    read it differently, because a REX prefix is not the last one, or two prefixes both select a meaning (SDM vol. 2,
    2.1.2: the mandatory prefixes 66, f2, f3)."""

    prefixes: frozenset[int]
    wide: bool
    doubtful: bool
    opcode: int
    next: int

    @property
    def data16(self) -> bool:
        return 0x66 in self.prefixes and not self.wide

    @property
    def group(self) -> int:
        return self.next >> 3 & 7

    @property
    def plain(self) -> bool:
        """Flat addressing with 64-bit registers."""
        return not self.prefixes & _FS_GS and 0x67 not in self.prefixes


def _form(code: bytes) -> _Form:
    at = next((i for i, byte in enumerate(code) if byte not in _PREFIXES and byte & 0xF0 != 0x40), len(code))
    rex = [i for i in range(at) if code[i] & 0xF0 == 0x40]
    wide = rex[-1:] == [at - 1] and bool(code[at - 1] & 8)
    prefixes = frozenset(code[:at]) & _PREFIXES
    doubtful = rex not in ([], [at - 1]) or (code[at : at + 1] == b"\x0f" and len(prefixes & _SELECTING) > 1)
    rest = code[at:] + bytes(3)
    opcode, following = rest[0], rest[1]
    if opcode in {0xC4, 0xC5, _EVEX}:
        opcode, following = _NO_OPCODE, rest[0]
    elif opcode == 0x0F:
        opcode, following = (_NO_OPCODE if rest[1] in {0x38, 0x3A} else 0x0F00 | rest[1]), rest[2]
    return _Form(prefixes, wide, doubtful, opcode, following)


@cache
def _disassembler() -> Any:
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = True
    return engine


def classify_x86_64(code: bytes) -> Classified:
    """The instruction at the start of *code*; one byte that may write anywhere if capstone knows none."""
    raw = next(_disassembler().disasm(code, 0, 1), None)
    if raw is None:
        return Classified(1, *ANYWHERE)
    form = _form(code)
    effect = _implicit(form, raw)
    if effect is None:
        effect = _explicit(form, raw)
    if form.doubtful or (effect.flags & STORE and not form.plain):
        effect = Effect(effect.flags & ~STORE | UNPREDICTED, 0)
    return Classified(raw.size, *effect)


def _implicit(form: _Form, raw: Any) -> Effect | None:
    """Control flow, strings and the stack; None for all that writes nothing but its operands."""
    opcode = form.opcode
    if opcode == _CALL_DIRECT or (opcode == _GROUP_5 and form.group in {2, 3}):
        return _call(form)
    if opcode in _RETURNS:
        return Effect(RETURN, 0)
    if opcode in _STRINGS:
        return _string(form)
    if opcode in _PUSHES or (opcode == _GROUP_5 and form.group == 6):
        return _push(2 if form.data16 else 8)
    if opcode == _ENTER:
        nested = raw.bytes[-1] & 31
        return ANYWHERE if nested or form.data16 else _push(8)
    if raw.mnemonic in _MASKED_MOVES:  # at most these bytes: the mask chooses
        return store(8 if raw.mnemonic == "maskmovq" else 16, _RDI)
    if opcode in _ANYWHERE or (opcode == _GROUP_5 and form.group == 5):
        return ANYWHERE
    return None


def _call(form: _Form) -> Effect:
    """A far call pushes CS as well, and a call with an operand-size prefix two bytes on some processors."""
    far = form.opcode == _GROUP_5 and form.group == 3
    pushed = ANYWHERE if far or form.data16 else _push(8)
    return Effect(CALL | pushed.flags, pushed.row)


def _push(size: int) -> Effect:
    return store(size, _RSP, -size)


def _string(form: _Form) -> Effect:
    size = 1 if not form.opcode & 1 else 2 if form.data16 else 8 if form.wide and form.opcode not in _INS else 4
    effect = store(size, _RDI) if _STRINGS[form.opcode] else NOTHING
    repeated = form.prefixes & {0xF2, 0xF3}
    return Effect(effect.flags | REPEAT, effect.row) if repeated else effect


def _explicit(form: _Form, raw: Any) -> Effect:
    operands = raw.operands
    places = [i for i, operand in enumerate(operands) if operand.type == x86_const.X86_OP_MEM]
    mnemonic = raw.mnemonic.split()[-1]
    if form.opcode == _NO_OPCODE and mnemonic.startswith("v"):
        mnemonic = mnemonic[1:]
    if mnemonic in READERS:
        return NOTHING
    if not places:
        return ANYWHERE if _hidden_operand(raw) else NOTHING
    if form.next == _EVEX and form.opcode == _NO_OPCODE:
        return ANYWHERE  # compressed displacements
    if mnemonic == "xchg":
        return _at(raw, operands[places[0]], _integer_size(form, mnemonic))
    if mnemonic == "pop" and form.opcode == _POP_MEMORY:
        return _pop(form, raw, operands[0])
    if mnemonic in INTEGER_WRITERS:
        size = _integer_size(form, mnemonic)
    elif mnemonic in X87_WRITERS:
        size = operands[places[0]].size
    elif mnemonic in SIZED_WRITERS:
        size = SIZED_WRITERS[mnemonic] or _register_width(operands)
    else:
        return ANYWHERE
    if places[0] != 0:
        return NOTHING
    if mnemonic in {"bts", "btr", "btc"} and operands[1].type == x86_const.X86_OP_REG:
        return ANYWHERE  # the bit index reaches outside the operand
    return _at(raw, operands[0], size)


def _register_width(operands: Any) -> int:
    return max(int(operand.size) for operand in operands if operand.type == x86_const.X86_OP_REG)


def _integer_size(form: _Form, mnemonic: str) -> int:
    """Bytes of a general-register or flag operand in memory.  Not capstone's: it overlooks REX.W after f2, f3 or 66."""
    if mnemonic.startswith("set"):
        return 1
    if mnemonic.startswith("cmpxchg") and mnemonic.endswith("b"):
        return 16 if form.wide else 8
    if form.opcode == _MOV_FROM_SEGMENT:
        return 2
    if mnemonic not in NEVER_BYTES and not form.opcode & 1:
        return 1
    return 2 if form.data16 else 8 if form.wide else 4


def _hidden_operand(raw: Any) -> bool:
    """A ModRM byte that names memory, in an instruction for which capstone lists none."""
    return bool(raw.encoding.modrm_offset) and raw.modrm >> 6 != 3


def _pop(form: _Form, raw: Any, operand: Any) -> Effect:
    """pop [rsp + n] computes its address after the increment."""
    size = 2 if form.data16 else 8
    from_stack = raw.reg_name(operand.mem.base) == "rsp"
    return _at(raw, operand, size, size if from_stack else 0)


def _at(raw: Any, operand: Any, size: int, moved: int = 0) -> Effect:
    """A store to one of capstone's memory operands, *moved* bytes on; the scale is a shift."""
    memory = operand.mem
    base, index = _number(raw, memory.base), _number(raw, memory.index)
    if base is None or index is None:
        return ANYWHERE
    length = raw.size if base == PC else 0
    return store(size, base, memory.disp + length + moved, index=index, extend=memory.scale.bit_length() - 1)


def _number(raw: Any, register: int) -> int | None:
    """The row's number of a register; None for one a row cannot name (eax, eip, a vector index)."""
    if register in {x86_const.X86_REG_INVALID, x86_const.X86_REG_RIZ}:
        return NO_REGISTER
    return PC if register == x86_const.X86_REG_RIP else _NUMBERS.get(raw.reg_name(register))
