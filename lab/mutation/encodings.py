"""The few instruction encodings that mutants of code are made of, as facts of each architecture.

Sources: Arm ARM DDI 0487, C6.2 (ADD and SUB immediate, STP and LDP pre- and post-indexed, ORR shifted register); Intel
SDM volume 2 (MOV 89 /r, XOR 31 /r, ADD and SUB 83 /0 /5 ib and 81 /0 /5 id).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lab.arch import Arch
from lab.arch.decode import Insn


@dataclass(frozen=True)
class Encodings:
    """``clobbers``: what stands in the place of the instruction that sets FP up: 0, or the first argument."""

    clobbers: tuple[bytes, ...]


ENCODINGS = {
    "aarch64": Encodings((bytes.fromhex("fd031faa"), bytes.fromhex("fd0300aa"))),  # mov x29, xzr; mov x29, x0
    "x86_64": Encodings((bytes.fromhex("4831ed"), bytes.fromhex("4889fd"))),  # xor rbp, rbp; mov rbp, rdi
}
_A64_ADD_FP_SP = 0x9100_03FD  # add x29, sp, #imm12
_X86_MOV_FP_SP = (bytes.fromhex("4889e5"), bytes.fromhex("488bec"))


class Grown(NamedTuple):
    """A stack adjustment after the growth.  ``opens``: it allocates; ``key``: form and size, which a release shares."""

    raw: bytes
    opens: bool
    key: tuple[str, int]


def is_frame_setup(arch: Arch, insn: Insn) -> bool:
    """Whether *insn* makes FP point at a frame record just saved: FP = SP + constant."""
    if arch.lr is None:
        return insn.raw in _X86_MOV_FP_SP
    return len(insn.raw) == 4 and int.from_bytes(insn.raw, "little") & 0xFFC0_03FF == _A64_ADD_FP_SP


def grown(arch: Arch, insn: Insn, by: int) -> Grown | None:
    """*insn*, a constant stack adjustment, for a frame *by* bytes larger; None where it is none, or has no room."""
    return _grown_x86(insn.raw, by) if arch.lr is None else _grown_a64(int.from_bytes(insn.raw, "little"), by)


def _grown_a64(word: int, by: int) -> Grown | None:
    form = word & 0xFFC0_03FF
    if form in (0xD100_03FF, 0x9100_03FF):  # sub sp, sp, #imm12; add sp, sp, #imm12
        size = word >> 10 & 0xFFF
        made = form | (size + by) << 10
        fits = size + by <= 0xFFF
        return Grown(made.to_bytes(4, "little"), form == 0xD100_03FF, ("add", size)) if fits else None
    if word & 0xFFC0_03E0 in (0xA980_03E0, 0xA8C0_03E0):  # stp ..., [sp, #-n]!; ldp ..., [sp], #n
        opens = word & 0xFFC0_03E0 == 0xA980_03E0
        scaled = (word >> 15 & 0x7F) - (0x80 if word >> 21 & 1 else 0)
        size = -8 * scaled if opens else 8 * scaled
        more = (size + by) // 8
        if size <= 0 or more > (0x40 if opens else 0x3F):
            return None
        made = word & ~(0x7F << 15) | (-more if opens else more & 0x7F) % 0x80 << 15
        return Grown(made.to_bytes(4, "little"), opens, ("pair", size))
    return None


def _grown_x86(raw: bytes, by: int) -> Grown | None:
    for opcode, width in ((b"\x48\x83", 1), (b"\x48\x81", 4)):
        if raw[:2] == opcode and len(raw) == 3 + width and raw[2] in (0xEC, 0xC4):  # sub rsp, imm; add rsp, imm
            size = int.from_bytes(raw[3:], "little", signed=True)
            if not 0 < size + by < 1 << (8 * width - 1) or size <= 0:
                return None
            return Grown(raw[:3] + (size + by).to_bytes(width, "little"), raw[2] == 0xEC, ("add", size))
    return None
