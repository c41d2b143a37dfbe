"""Carrying A64 instructions.

Source: Arm ARM DDI 0487 C4.1 (encoding index): the only instructions relative to their own address are B, BL, B.cond,
BC.cond, CBZ, TBZ, ADR, ADRP and the literal loads; anything newer is refused because capstone does not decode it.

Forms do not depend on addresses: a conditional branch becomes its inverse over a ``b`` (128 MiB), ``adr`` becomes
``adrp`` and ``add`` (4 GiB), a literal load forms the address in its own destination first.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.arch import AARCH64
from lab.arch.decode import Insn, Kind
from rewriters import encode
from rewriters.encode import Encoded, number
from rewriters.moving.forms import Moved, Resolve, assembled, field, refuse, signed, verbatim


@dataclass(frozen=True, slots=True)
class _Form:
    """Words with ``word & mask == value``; the distance is a field of ``bits`` at ``low`` (ADR's is split)."""

    name: str
    mask: int
    value: int
    low: int
    bits: int


_FORMS = (
    _Form("b", 0x7C00_0000, 0x1400_0000, 0, 26),  # and bl
    _Form("b.cond", 0xFF00_0000, 0x5400_0000, 5, 19),  # and bc.cond
    _Form("cbz", 0x7E00_0000, 0x3400_0000, 5, 19),  # and cbnz
    _Form("tbz", 0x7E00_0000, 0x3600_0000, 5, 14),  # and tbnz
    _Form("adr", 0x9F00_0000, 0x1000_0000, 5, 21),
    _Form("adrp", 0x9F00_0000, 0x9000_0000, 5, 21),
    _Form("literal", 0x3B00_0000, 0x1800_0000, 5, 19),
)
_CONDITIONS = ("eq ne", "hs lo", "mi pl", "vs vc", "hi ls", "ge lt", "gt le")
_INVERSE = {"cbz": "cbnz", "tbz": "tbnz"}
_INVERSE |= {f"{b}.{pair.split()[0]}": f"{b}.{pair.split()[1]}" for pair in _CONDITIONS for b in ("b", "bc")}
_INVERSE |= {other: one for one, other in _INVERSE.items()}
_PAGE = ~0xFFF
#: size and V of a literal load -> the load from a register's address: (encoding with Rt = Rn = 0, text before Rt).
_LOADS = {
    (0, 0): (0xB940_0000, "ldr w"),
    (1, 0): (0xF940_0000, "ldr x"),
    (2, 0): (0xB980_0000, "ldrsw x"),
    (0, 1): (0xBD40_0000, "ldr s"),
    (1, 1): (0xFD40_0000, "ldr d"),
    (2, 1): (0x3DC0_0000, "ldr q"),
}
_ZERO = 31


def _word(insn: Insn) -> int:
    return int.from_bytes(insn.raw, "little")


#: All that tells the forms apart is in the top byte.
_BY_TOP = tuple(next((f for f in _FORMS if top << 24 & f.mask == f.value), None) for top in range(256))


def _form(insn: Insn) -> _Form | None:
    return _BY_TOP[insn.raw[3]] if len(insn.raw) == 4 else None


def plain(insn: Insn) -> bool:
    """See rewriters.moving.plain."""
    return insn.kind is not Kind.UNDECODED and _BY_TOP[insn.raw[3]] is None


def refers_to(insn: Insn) -> int | None:
    """The address *insn* names relative to its own (adrp: of the page); None if its bytes mean the same anywhere."""
    form = _form(insn)
    if form is None:
        return None
    word = _word(insn)
    if form.name in {"adr", "adrp"}:
        distance = signed((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3, 21)
        return insn.address + distance if form.name == "adr" else (insn.address & _PAGE) + (distance << 12)
    return insn.address + 4 * signed(word >> form.low, form.bits)


def problem(insn: Insn) -> str:
    """Why *insn* cannot be carried without a scratch register, whatever the addresses; "" if it can."""
    if insn.kind is Kind.UNDECODED:
        return "it does not decode"
    form = _form(insn)
    if form is None or form.name != "literal":
        return ""
    word = _word(insn)
    if _is_prefetch(word):
        return ""
    if word >> 26 & 1:
        return "a vector literal needs a register for its address"
    return "it loads into the zero register" if word & 31 == _ZERO else ""


def _is_prefetch(word: int) -> bool:
    return word >> 30 == 3 and not word >> 26 & 1


def size(insn: Insn) -> int:
    """Bytes of *insn* once carried, at whatever address."""
    form = _form(insn)
    if form is None or form.name in {"b", "adrp"}:
        return 4
    if form.name == "literal":
        return 4 if _is_prefetch(_word(insn)) else 12
    if form.name == "adr":
        return 4 if _word(insn) & 31 == _ZERO else 8
    return 8 if insn.mnemonic in _INVERSE else 4


def carry(insn: Insn, new_pc: int, resolve: Resolve, scratch: str | None = None) -> Moved:
    """See rewriters.moving.carry."""
    form = _form(insn)
    if (why := problem(insn)) and (scratch is None or form is None or not _word(insn) >> 26 & 1):
        raise refuse(insn, why)
    old = refers_to(insn)
    if form is None or old is None:
        return verbatim(insn)
    if form.name == "adrp":
        return retarget(insn, new_pc, old)
    target = resolve(old)
    if form.name == "b":
        return retarget(insn, new_pc, target)
    if form.name == "adr":
        return _address(insn, new_pc, target)
    if form.name == "literal":
        return _literal(insn, new_pc, target, scratch)
    if insn.mnemonic not in _INVERSE:  # b.al, b.nv: always taken
        return assembled([encode.a64_b(new_pc, target)])
    return assembled([_inverted(insn, new_pc), encode.a64_b(new_pc + 4, target)])


def _inverted(insn: Insn, pc: int) -> Encoded:
    """The inverse condition, over the next instruction."""
    form = _form(insn)
    assert form is not None
    word = _word(insn) ^ (1 if form.name == "b.cond" else 1 << 24)
    raw, text = _encode(form, insn, word, pc, pc + 8)
    return raw, text.replace(insn.mnemonic, _INVERSE[insn.mnemonic], 1)


def _address(insn: Insn, pc: int, target: int) -> Moved:
    register = _word(insn) & 31
    if register == _ZERO:
        return assembled([_nop()])
    return assembled(_form_address(f"x{register}", pc, target))


def _form_address(register: str, pc: int, target: int) -> list[Encoded]:
    low = f"add {register}, {register}, #{number(target & 0xFFF)}"
    return [encode.a64_adrp(pc, register, target), (encode.template(AARCH64, low), low)]


def _nop() -> Encoded:
    return encode.template(AARCH64, "nop"), "nop"


def _literal(insn: Insn, pc: int, target: int, scratch: str | None) -> Moved:
    word = _word(insn)
    if _is_prefetch(word):  # a hint, without architectural effect
        return assembled([_nop()])
    register = word & 31
    vector = word >> 26 & 1
    encoding, text = _LOADS[word >> 30, vector]
    base = int(scratch.removeprefix("x")) if vector and scratch else register
    load = (encoding | base << 5 | register).to_bytes(4, "little"), f"{text}{register}, [x{base}]"
    return assembled([*_form_address(f"x{base}", pc, target), load])


def retarget(insn: Insn, new_pc: int, target: int) -> Moved:
    """See rewriters.moving.retarget."""
    form = _form(insn)
    if form is None:
        raise refuse(insn, "it names no address")
    return assembled([_encode(form, insn, _word(insn), new_pc, target)])


def _encode(form: _Form, insn: Insn, word: int, pc: int, target: int) -> Encoded:
    """*word* at *pc* with *target* in its field; the text is the original's with the last operand replaced."""
    if form.name == "adrp":
        target &= _PAGE
        value = field(insn, target - (pc & _PAGE), 21, 0x1000)
    else:
        value = field(insn, target - pc, form.bits, 1 if form.name == "adr" else 4)
    if form.name in {"adr", "adrp"}:
        word = word & ~(0x7FFFF << 5 | 3 << 29) | (value & 3) << 29 | (value >> 2) << 5
    else:
        word = word & ~(((1 << form.bits) - 1) << form.low) | value << form.low
    return word.to_bytes(4, "little"), f"{insn.text[: insn.text.rindex('#')]}#{number(target % 2**64)}"
