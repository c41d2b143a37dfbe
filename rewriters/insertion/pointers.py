"""Making a pointer name another address, in code that stays and in code that moves."""

from __future__ import annotations

from lab.arch import Arch
from lab.arch.decode import Insn
from lab.errors import EngineError, RefusedError
from rewriters import encode, moving
from rewriters.insertion.references import Form, Pointer
from rewriters.moving import Moved


def renamed(arch: Arch, insn: Insn, pointer: Pointer, pc: int, target: int) -> Moved:
    """*insn*, which is *pointer*, standing at *pc* and yielding *target*, in the same number of bytes.
    RefusedError if its form cannot reach that far."""
    if pointer.form in {Form.RELATIVE, Form.PAGE}:
        return moving.retarget(arch, insn, pc, target)
    if pointer.form is Form.LOW:
        return _low(insn, target)
    if pointer.form is Form.FIELD:
        return _field(insn, pointer, target)
    raise EngineError(f"'{insn.text}' at {insn.address:#x}: a word of data is no instruction")


def _low(insn: Insn, target: int) -> Moved:
    """``add`` with the low 12 bits (Arm ARM C6.2.4: imm12 is bits 21..10)."""
    word = int.from_bytes(insn.raw, "little") & ~(0xFFF << 10) | (target & 0xFFF) << 10
    text = f"{insn.text[: insn.text.rindex('#')]}#{encode.number(target & 0xFFF)}"
    raw = word.to_bytes(4, "little")
    return Moved(raw, ((raw, text),))


def _field(insn: Insn, pointer: Pointer, target: int) -> Moved:
    if target >> (8 * pointer.width - 1):
        raise RefusedError(f"'{insn.text}' at {insn.address:#x} cannot hold the address {target:#x}; link it lower")
    old = int.from_bytes(insn.raw[pointer.at : pointer.at + pointer.width], "little")
    raw = insn.raw[: pointer.at] + target.to_bytes(pointer.width, "little") + insn.raw[pointer.at + pointer.width :]
    text = insn.text.removesuffix(f"{old:#x}") + f"{target:#x}"
    return Moved(raw, ((raw, text),))
