"""Where SP and FP are, relative to SP at a function's entry, before each instruction.

Displacements are bytes; None = unknown.  Read from capstone's text, one small table an architecture:
an instruction that moves SP in a way no row knows makes it unknown, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.arch import Arch
from lab.arch.decode import Insn, Kind


@dataclass(frozen=True, slots=True)
class Frame:
    """``sp`` and ``fp`` minus SP at entry (0 and unknown at entry itself)."""

    sp: int | None = 0
    fp: int | None = None

    def join(self, other: Frame) -> Frame:
        """What both paths agree on."""
        return Frame(self.sp if self.sp == other.sp else None, self.fp if self.fp == other.fp else None)


def step(arch: Arch, insn: Insn, frame: Frame) -> Frame:
    """The frame after *insn*.  Calls give SP and FP back as they took them (the ABI's promise)."""
    if insn.kind is Kind.CALL or not insn.writes & {arch.sp, arch.fp}:
        return frame
    sp, fp = frame.sp, frame.fp
    if arch.sp in insn.writes:
        sp = _x86_sp(insn, frame) if arch.call_pushes else _a64_sp(insn, frame)
    if arch.fp in insn.writes:
        fp = _new_fp(arch, insn, frame)
    return Frame(sp, fp)


_NUMBER = r"(0x[0-9a-f]+|\d+)"
_A64_MOVE = re.compile(
    rf"(?P<op>add|sub|mov) (?P<rd>sp|x29), (?P<rn>sp|x29)(, #(?P<imm>{_NUMBER})(?P<shift>, lsl #12)?)?$"
)
_A64_PRE = re.compile(rf"\[sp, #(-?{_NUMBER})\]!$")
_A64_POST = re.compile(rf"\[sp\], #(-?{_NUMBER})$")
_X86_ADJUST = re.compile(rf"(add|sub) rsp, (-?{_NUMBER})$")
_X86_SHORT = re.compile(r"(push|pop) (word ptr .*|[abcd]x|[sd]i|[sb]p|r\d+w|[c-g]s|ss)$")
_X86_MOVE = re.compile(
    r"(?:mov (?P<rd>rsp|rbp), (?P<rn>rsp|rbp)|"
    rf"lea (?P<ld>rsp|rbp), \[(?P<ln>rsp|rbp)(?: (?P<sign>[+-]) (?P<imm>{_NUMBER}))?\])$"
)
_WORD = 8


def _plus(base: int | None, delta: int) -> int | None:
    return None if base is None else base + delta


def _a64_sp(insn: Insn, frame: Frame) -> int | None:
    if match := _A64_MOVE.match(insn.text):
        return _a64_move(match, frame)
    if match := _A64_PRE.search(insn.text) or _A64_POST.search(insn.text):
        return _plus(frame.sp, int(match[1], 0))
    return None


def _a64_move(match: re.Match[str], frame: Frame) -> int | None:
    amount = int(match["imm"] or "0", 0) << (12 if match["shift"] else 0)
    return _plus(frame.sp if match["rn"] == "sp" else frame.fp, -amount if match["op"] == "sub" else amount)


def _x86_sp(insn: Insn, frame: Frame) -> int | None:
    if _X86_SHORT.match(insn.text):  # two bytes, or a segment register
        return None
    if insn.mnemonic in {"push", "pushfq"}:
        return _plus(frame.sp, -_WORD)
    if insn.mnemonic in {"pop", "popfq"}:
        return None if insn.op_str == "rsp" else _plus(frame.sp, _WORD)
    if insn.mnemonic == "leave":
        return _plus(frame.fp, _WORD)
    if match := _X86_ADJUST.match(insn.text):
        amount = int(match[2], 0)
        amount -= (1 << 64) if amount >> 63 == 1 else 0
        return _plus(frame.sp, -amount if match[1] == "sub" else amount)
    if match := _X86_MOVE.match(insn.text):
        return _x86_move(match, frame)
    return None


def _x86_move(match: re.Match[str], frame: Frame) -> int | None:
    source = match["rn"] or match["ln"]
    amount = int(match["imm"] or "0", 0)
    return _plus(frame.sp if source == "rsp" else frame.fp, -amount if match["sign"] == "-" else amount)


def _new_fp(arch: Arch, insn: Insn, frame: Frame) -> int | None:
    if arch.call_pushes:
        match = _X86_MOVE.match(insn.text)
        return _x86_move(match, frame) if match and "rbp" in {match["rd"], match["ld"]} else None
    match = _A64_MOVE.match(insn.text)
    return _a64_move(match, frame) if match and match["rd"] == "x29" else None
