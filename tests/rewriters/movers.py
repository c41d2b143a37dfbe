"""Whole functions carried elsewhere, instruction by instruction, by the smallest mover that does: for tests of what
describes moved code, independent of the rewriter's own mover."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import capstone
from capstone import x86_const

from lab.arch.decode import Kind, decode
from lab.images.image import Function, Image
from rewriters.elf_tables import Moved
from rewriters.unwind import Edits, Span

#: What a moved function begins with: code that keeps 32 bytes on the stack for a while, and how that looks.
PROLOGUE = {
    "x86_64": [(b"\x48\x83\xec\x20", 0), (b"\x90\x90", 32), (b"\x48\x83\xc4\x20", 32)],
    "aarch64": [(b"\xff\x83\x00\xd1", 0), (b"\x1f\x20\x03\xd5", 32), (b"\xff\x83\x00\x91", 32)],
}


@dataclass(frozen=True)
class Carriage:
    """New code and what is to be written over the old."""

    text: bytes
    edits: Edits
    moved: tuple[Moved, ...]
    jumps: tuple[tuple[int, bytes], ...]


def carry(image: Image, functions: list[Function], base: int) -> Carriage:
    """*functions* of *image* at *base*, one behind the other, each behind a prologue; old entries jump there."""
    prologue = PROLOGUE[image.arch.name]
    extra = sum(len(code) for code, _ in prologue)
    at, places = base, {}
    for function in functions:
        places[function.start] = at
        at += -(-(extra + function.size) // 16) * 16
    text = bytearray(at - base)
    spans, moved, jumps, dead = [], [], [], []
    for function in functions:
        start = here = places[function.start]
        for code, pushed in prologue:
            text[here - base : here - base + len(code)] = code
            spans.append(Span(here, here + len(code), function.start, pushed))
            here += len(code)
        code = _retarget(image, functions, places, function, extra)
        text[here - base : here - base + len(code)] = code
        spans.append(Span(here, here + len(code), function.start, 0, function.size))
        moved.append(Moved(function.start, function.end, start, here + len(code)))
        jump = _jump(image, function.start, start)
        jumps.append((function.start, _filled(image, jump, function.size)))
        spans.append(Span(function.start, function.start + len(jump), function.start))
        dead.append((function.start, function.end))
    return Carriage(bytes(text), Edits(tuple(spans), tuple(dead)), tuple(moved), tuple(jumps))


#: Around a call in a trampoline: 32 bytes more on the stack, and back.
AROUND = {arch: (pieces[0][0], pieces[2][0]) for arch, pieces in PROLOGUE.items()}


def detour_calls(image: Image, functions: list[Function], base: int) -> Carriage:
    """Every direct call of *functions* made from a trampoline, with 32 bytes more on the stack than in place."""
    before, after = AROUND[image.arch.name]
    text, spans, jumps = bytearray(), [], []
    for function in functions:
        for at, size, target in _calls(image, function):
            start = base + len(text)
            call = start + len(before)
            done = call + size
            back = done + len(after)
            code = before + _jump(image, call, target, link=True) + after + _jump(image, back, at + size)
            spans += [
                Span(start, call, at),
                Span(call, done, at, 32, size),
                Span(done, back, at + size, 32),
                Span(back, start + len(code), at + size),
            ]
            text += code.ljust(-(-len(code) // 16) * 16, b"\0")
            jumps.append((at, _jump(image, at, start)))
    return Carriage(bytes(text), Edits(tuple(spans)), (), tuple(jumps))


def _calls(image: Image, function: Function) -> list[tuple[int, int, int]]:
    """(address, size, target) of every direct call that is followed by more of *function*."""
    code = decode(image.arch, image.read(function.start, function.size), function.start)
    return [
        (insn.address, insn.size, insn.target)
        for insn in code
        if insn.kind is Kind.CALL and insn.target is not None and insn.end < function.end
    ]


def _retarget(image: Image, functions: list[Function], places: dict[int, int], function: Function, extra: int) -> bytes:
    """The body of *function*, its references encoded anew."""

    def new(target: int) -> int:
        for other in functions:
            if other.start < target < other.end or target == function.start == other.start:
                return places[other.start] + extra + target - other.start
        return target

    move = places[function.start] + extra
    code = bytearray(image.read(function.start, function.size))
    for offset, rest, target, kind in _references(image, function):
        if kind == "rel32":
            code[offset : offset + 4] = struct.pack("<i", new(target) - (move + offset + rest))
        else:
            word = int.from_bytes(code[offset : offset + 4], "little")
            code[offset : offset + 4] = _a64(word, kind, move + offset, new(target)).to_bytes(4, "little")
    return bytes(code)


def _a64(word: int, kind: str, place: int, target: int) -> int:
    if kind == "adrp":
        pages = (target >> 12) - (place >> 12)
        return word & 0x9F00001F | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
    return word & 0xFC000000 | (target - place) // 4 & 0x03FFFFFF


def _references(image: Image, function: Function) -> list[tuple[int, int, int, str]]:
    """(offset of the field, bytes from there to the next instruction, target, kind) of what must be encoded anew."""
    code = image.read(function.start, function.size)
    if image.arch.name == "aarch64":
        return _a64_references(code, function)
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = True
    found = []
    for insn in engine.disasm(code, function.start):
        offset = insn.address - function.start
        for operand in insn.operands:
            if operand.type == x86_const.X86_OP_MEM and operand.mem.base == x86_const.X86_REG_RIP:
                target = insn.address + insn.size + operand.mem.disp
                found.append((offset + insn.disp_offset, insn.size - insn.disp_offset, target, "rel32"))
        direct = insn.operands and insn.operands[0].type == x86_const.X86_OP_IMM
        if direct and insn.group(capstone.CS_GRP_CALL) | insn.group(capstone.CS_GRP_JUMP):
            target = insn.operands[0].imm
            if not function.start < target < function.end:
                assert insn.imm_size == 4, f"{insn.mnemonic} {insn.op_str}: too short to reach"
                found.append((offset + insn.imm_offset, insn.size - insn.imm_offset, target, "rel32"))
    return found


def _a64_references(code: bytes, function: Function) -> list[tuple[int, int, int, str]]:
    found = []
    for offset in range(0, len(code), 4):
        (word,) = struct.unpack_from("<I", code, offset)
        place = function.start + offset
        if word & 0x7C000000 == 0x14000000:
            target = place + ((word & 0x3FFFFFF) ^ 0x2000000) * 4 - 0x8000000
            if not function.start < target < function.end:
                found.append((offset, 0, target, "b"))
        elif word & 0x9F000000 == 0x90000000:
            pages = ((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3) ^ 0x100000
            found.append((offset, 0, (place & ~0xFFF) + (pages - 0x100000) * 0x1000, "adrp"))
    return found


def _jump(image: Image, at: int, to: int, link: bool = False) -> bytes:
    if image.arch.name == "aarch64":
        return _a64(0x94000000 if link else 0x14000000, "b", at, to).to_bytes(4, "little")
    return (b"\xe8" if link else b"\xe9") + struct.pack("<i", to - at - 5)


def _filled(image: Image, jump: bytes, size: int) -> bytes:
    trap = b"\xcc" if image.arch.name == "x86_64" else bytes(4)
    return jump + trap * ((size - len(jump)) // len(trap))
