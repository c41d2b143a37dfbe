"""What the checks need to know of each instruction: where it goes, and what it does to SP, FP and the link register.

Read from the disassembler's text, quickly, and independently of what the rewriter read.  Only instructions that name
SP, FP or the link register are decoded in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lab.arch import Arch
from lab.arch.decode import ENDS_FLOW, Insn, Kind, decode_one, disassemble
from lab.images.flow import code_pieces
from lab.images.image import Function, Image

_FALLING = frozenset(Kind) - ENDS_FLOW


class Fact(NamedTuple):
    """One instruction.  ``target``: of a direct branch or call."""

    address: int
    size: int
    kind: Kind
    target: int | None
    text: str

    @property
    def end(self) -> int:
        return self.address + self.size

    @property
    def falls(self) -> bool:
        """Whether control may go on behind it."""
        return self.kind in _FALLING

    @property
    def mnemonic(self) -> str:
        return self.text.split(" ", 1)[0]


_A64_KINDS = dict.fromkeys(("ret", "retaa", "retab", "eret", "eretaa", "eretab"), Kind.RETURN)
_A64_KINDS |= dict.fromkeys(("bl", "blr", "blraa", "blrab", "blraaz", "blrabz"), Kind.CALL)
_A64_KINDS |= dict.fromkeys(("br", "braa", "brab", "braaz", "brabz"), Kind.INDIRECT)
_A64_KINDS |= dict.fromkeys(("cbz", "cbnz", "tbz", "tbnz"), Kind.BRANCH)
_A64_KINDS |= dict.fromkeys(("brk", "udf", "hlt"), Kind.TRAP)
_A64_KINDS |= {"b": Kind.JUMP, "svc": Kind.SYSCALL}
_X86_KINDS = dict.fromkeys(("ret", "retf", "retfq", "iretq", "iretd", "iret", "sysret", "sysretq"), Kind.RETURN)
_X86_KINDS |= dict.fromkeys(("ud2", "ud1", "ud0", "int3", "hlt"), Kind.TRAP)
_X86_KINDS |= dict.fromkeys(("loop", "loope", "loopne", "jrcxz", "jecxz", "xbegin"), Kind.BRANCH)
_X86_KINDS |= {"call": Kind.CALL, "jmp": Kind.JUMP, "syscall": Kind.SYSCALL, "ljmp": Kind.INDIRECT, "lcall": Kind.CALL}
_X86_PREFIXES = frozenset({"bnd", "notrack", "rep", "repz", "repe", "repne", "repnz", "lock", "data16", "xacquire"})
_A64_LAST = re.compile(r"#(-?0x[0-9a-f]+|-?\d+)$")
_X86_LAST = re.compile(r"(?:^| )(-?0x[0-9a-f]+|-?\d+)$")
_WRAP = (1 << 64) - 1


def fact(arch: Arch, address: int, size: int, text: str) -> Fact:
    """The instruction that reads *text*."""
    kind = _a64_kind(text) if arch.lr is not None else _x86_kind(text)
    if kind not in _DIRECT:
        return Fact(address, size, kind, None, text)
    found = (_A64_LAST if arch.lr is not None else _X86_LAST).search(text)
    if found is None:
        return Fact(address, size, Kind.INDIRECT if kind is Kind.JUMP else kind, None, text)
    return Fact(address, size, kind, int(found[1], 0) & _WRAP, text)


_DIRECT = frozenset({Kind.CALL, Kind.JUMP, Kind.BRANCH})


def _a64_kind(text: str) -> Kind:
    mnemonic = text.split(" ", 1)[0]
    if mnemonic.startswith(("b.", "bc.")):
        return Kind.BRANCH
    return _A64_KINDS.get(mnemonic, Kind.OTHER)


def _x86_kind(text: str) -> Kind:
    words = text.split(" ", 2)
    mnemonic = words[0]
    if mnemonic in _X86_PREFIXES and len(words) > 1:
        mnemonic = words[1]
    if mnemonic[0] == "j" and mnemonic != "jmp":
        return Kind.BRANCH
    return _X86_KINDS.get(mnemonic, Kind.OTHER)


def facts(arch: Arch, code: bytes, address: int) -> Iterator[Fact]:
    """Every instruction of *code*; what cannot be decoded comes as UNDECODED units of ``arch.insn_align`` bytes."""
    done = 0
    while done < len(code):
        for at, size, text in disassemble(arch, code[done:], address + done):
            yield fact(arch, at, size, text)
            done = at + size - address
        if done < len(code):
            unit = min(arch.insn_align, len(code) - done)
            yield Fact(address + done, unit, Kind.UNDECODED, None, f".byte {code[done : done + unit].hex()}")
            done += unit


_LONGEST_STRAY = 64


class Reading:
    """The code of an image's functions, each decoded when first asked for.  ``home``: instruction -> start of the
    function in which it was found, -1 outside of all."""

    def __init__(self, image: Image) -> None:
        self.image, self.arch = image, image.arch
        self._by_function: dict[int, dict[int, Fact]] = {}
        self._all: dict[int, Fact] = {}
        self.home: dict[int, int] = {}
        self._full: dict[bytes, Insn | None] = {}
        names = (self.arch.sp, self.arch.fp, self.arch.lr or self.arch.sp)
        self._names = re.compile(r"leave|enter|push|pop|\b(" + "|".join({*names, *_SHORTER[self.arch.name]}) + r")\b")

    def of(self, function: Function) -> dict[int, Fact]:
        """Address -> instruction, of *function* without its data islands."""
        known = self._by_function.get(function.start)
        if known is None:
            known = self._by_function[function.start] = {}
            for start, end in code_pieces(self.image, function.start, function.end):
                known.update((f.address, f) for f in facts(self.arch, self.image.read(start, end - start), start))
            self._all |= known
            self.home |= dict.fromkeys(known, function.start)
        return known

    def at(self, address: int) -> Fact | None:
        """The instruction that begins at *address* in a function."""
        if address in self._all:
            return self._all[address]
        home = self.image.function_at(address)
        if home is None:
            self._stray(address)
            return self._all.get(address)
        return self.of(home).get(address)

    def _stray(self, address: int) -> None:
        """Read code of no function (stubs and veneers of linkers) from *address* on, up to where it leaves; at home
        nowhere."""
        homes = (s for s in self.image.sections if s.executable and s.address <= address < s.address + s.size)
        home = next(homes, None)
        if home is None:
            return
        code = self.image.read(address, min(home.address + home.size - address, _LONGEST_STRAY))
        for found in facts(self.arch, code, address):
            if found.kind is Kind.UNDECODED or self.image.function_at(found.address) is not None:
                return
            self._all[found.address] = found
            self.home[found.address] = -1
            if not found.falls:
                return

    def in_full(self, found: Fact) -> Insn | None:
        """*found* decoded in full if it names SP, FP or the link register or is a call; else None: it leaves those
        alone.  The answer is the same at every address and must not be asked for one."""
        if not self._names.search(found.text):
            return None
        raw = self.image.read(found.address, found.size)
        if raw not in self._full:
            self._full[raw] = decode_one(self.arch, raw, found.address)
        return self._full[raw]


#: Other names of SP, FP and LR: parts of them, and what implies them.
_SHORTER = {"aarch64": ("wsp", "w29", "w30"), "x86_64": ("esp", "sp", "spl", "ebp", "bp", "bpl")}
