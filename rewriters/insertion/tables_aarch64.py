"""Jump tables of compact distances, which clang and gcc make on AArch64 without a relocation for each entry.

    cmp wI, #most;  b.hi elsewhere            (or hs, or b.ls, b.lo to here)
    adrp xT, table;  add xT, xT, :lo12:table  (or adr, where a linker relaxed it)
    ldrb wE, [xT, xI]                         (or ldrh, indexed by 2)
    adr xB, base
    add xB, xB, wE, sxtb #2                   (or the whole register, lsl #2)
    br xB

in any order the data flow allows.  A jump counts as understood if each step is found on the one path that leads to it:
then every entry is known, and may be changed when the code between labels grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lab.arch.decode import ENDS_FLOW, Insn, Kind
from lab.images.flow import Code
from lab.images.image import Image

_SUM = re.compile(r"add (x\d+), (x\d+), ([xw]\d+), (lsl|uxtb|uxth|uxtw|sxtb|sxth|sxtw) #2$")
_LOAD = re.compile(r"ldr([bh]) (w\d+), \[(x\d+), ([xw]\d+)(?:, (?:lsl|uxtw)(?: #1)?)?\]$")
_LOW = re.compile(r"add (x\d+), (x\d+), #(0x[0-9a-f]+|\d+)$")
_NUMBER = re.compile(r"#(0x[0-9a-f]+|\d+)$")
_BOUND = re.compile(r"cmp ([wx]\d+), #(0x[0-9a-f]+|\d+)$")
_COPY = re.compile(r"mov (w\d+), (w\d+)$")
_RESTORE = re.compile(r"ld(p x\d+, |r )x\d+, \[(sp|x29)")
_KEPT = frozenset(f"x{number}" for number in range(19, 29))
_WIDTH = {"b": 1, "h": 2}
#: Condition -> (whether the table's path takes the branch, entries beyond the number compared with).
_WITHIN = {"b.hi": (False, 1), "b.hs": (False, 0), "b.ls": (True, 1), "b.lo": (True, 0)}
_FARTHEST = 64


@dataclass(frozen=True, slots=True)
class Compact:
    """The table the indirect jump at ``jump`` goes through: ``count`` entries of ``width`` bytes at ``address``, each
    (label - base) / 4, ``signed`` or not.  ``uses``: addresses of the instructions that form the table's address."""

    jump: int
    address: int
    base: int
    count: int
    width: int
    signed: bool
    uses: frozenset[int]

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.address + self.count * self.width

    def labels(self, image: Image) -> list[int]:
        """Where each entry leads."""
        data = image.read(self.address, self.end - self.address)
        pieces = (data[at : at + self.width] for at in range(0, len(data), self.width))
        return [self.base + 4 * int.from_bytes(piece, "little", signed=self.signed) for piece in pieces]

    def fits(self, distance: int) -> bool:
        """Whether an entry can say *distance* (bytes)."""
        bits = 8 * self.width
        low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if self.signed else (0, 1 << bits)
        return distance % 4 == 0 and low <= distance // 4 < high


def understand(image: Image, code: Code, jump: int) -> Compact | None:
    """The table of the indirect jump at address *jump* of *code*; None if any step is not as expected."""
    path = list(_path(code, code.index[jump]))
    return _Reader(path).read(image, code, jump)


def _path(code: Code, i: int) -> Iterator[tuple[Insn, bool]]:
    """The instructions before *i* on the only path to it, last first, and whether each branches to the next."""
    sources: dict[int, list[int]] = {}
    for j, insn in enumerate(code.insns):
        if insn.target is not None and insn.kind is not Kind.CALL:
            sources.setdefault(insn.target, []).append(j)
    for _ in range(_FARTHEST):
        jumps = sources.get(code.insns[i].address, [])
        falls = i > 0 and code.insns[i - 1].kind not in ENDS_FLOW
        if len(jumps) + falls != 1:
            return
        i = i - 1 if falls else jumps[0]
        yield code.insns[i], not falls


def _sum(page: Insn, low: Insn) -> tuple[int, frozenset[int]] | None:
    """The address ``adrp`` and ``add`` form together."""
    match, number = _LOW.match(low.text), _NUMBER.search(page.text)
    if page.mnemonic != "adrp" or match is None or number is None:
        return None
    return int(number[1], 0) + int(match[3], 0), frozenset({page.address, low.address})


def _relaxed(adr: Insn) -> tuple[int, frozenset[int]] | None:
    """What a linker makes of the pair where the table is near: ``nop`` and ``adr``."""
    number = _NUMBER.search(adr.text)
    return None if number is None else (int(number[1], 0), frozenset({adr.address - 4, adr.address}))


def _invariant(code: Code, register: str) -> tuple[int, frozenset[int]] | None:
    """The one address a callee-saved *register* ever holds in *code*, but for the caller's value."""
    if register not in _KEPT:
        return None
    writes = [i for i, insn in enumerate(code.insns) if register in insn.writes and not _restores(code, i, register)]
    if len(writes) == 1 and code.insns[writes[0]].mnemonic == "adr":
        return _relaxed(code.insns[writes[0]])
    if len(writes) != 2 or writes[1] != writes[0] + 1:
        return None
    page, low = (code.insns[i] for i in writes)
    match = _LOW.match(low.text)
    return _sum(page, low) if match is not None and match[1] == match[2] == register else None


def _restores(code: Code, i: int, register: str) -> bool:
    """Whether instruction *i* gives *register* back to the caller: from here it is not read before the way out."""
    if not _RESTORE.match(code.insns[i].text):
        return False
    for insn in code.insns[i + 1 :]:
        if insn.kind in ENDS_FLOW:
            return insn.kind is not Kind.JUMP or insn.target not in code.index
        if insn.kind is not Kind.OTHER or register in insn.reads:
            return False
    return False


class _Reader:
    """Finds definitions on the path, nearest first."""

    def __init__(self, path: list[tuple[Insn, bool]]) -> None:
        self.path = path

    def _writer(self, register: str, before: int = -1) -> int | None:
        """Index in the path of the last write of *register* before index *before* (-1: the jump)."""
        name = "x" + register[1:]
        for at in range(before + 1, len(self.path)):
            if name in self.path[at][0].writes or self.path[at][0].kind is Kind.CALL:
                return at
        return None

    def _find(self, pattern: re.Pattern[str], register: str, before: int = -1) -> tuple[int, re.Match[str]] | None:
        at = self._writer(register, before)
        match = None if at is None else pattern.match(self.path[at][0].text)
        return None if at is None or match is None else (at, match)

    def read(self, image: Image, code: Code, jump: int) -> Compact | None:
        """See understand."""
        total = self._find(_SUM, code.insns[code.index[jump]].op_str)
        if total is None:
            return None
        at, add = total
        adr = self._writer(add[2], at)
        load = self._find(_LOAD, add[3], at)
        if adr is None or load is None or self.path[adr][0].mnemonic != "adr":
            return None
        formed = self._address(load[1][3], load[0]) or _invariant(code, load[1][3])
        count = self._count(load[1][4], load[0])
        base = _NUMBER.search(self.path[adr][0].text)
        if formed is None or count is None or base is None:
            return None
        extend, size = add[4], load[1][1]
        if extend not in {"lsl", "uxtw"} and extend[-1] != size:
            return None
        address, uses = formed
        found = Compact(jump, address, int(base[1], 0), count, _WIDTH[size], extend.startswith("s"), uses)
        return found if all(label in code.index for label in [found.base, *found.labels(image)]) else None

    def _address(self, register: str, before: int) -> tuple[int, frozenset[int]] | None:
        """The address in *register*, formed on the path, and by which instructions."""
        only = self._writer(register, before)
        if only is not None and self.path[only][0].mnemonic == "adr":
            return _relaxed(self.path[only][0])
        low = self._find(_LOW, register, before)
        page = None if low is None else self._writer(low[1][2], low[0])
        return None if low is None or page is None else _sum(self.path[page][0], self.path[low[0]][0])

    def _count(self, register: str, before: int) -> int | None:
        """Entries of the table: the bound the index *register* was compared with, where that still holds."""
        number = register[1:]
        decided: tuple[bool, int] | None = None
        for insn, taken in self.path[before + 1 :]:
            copy, bound = _COPY.match(insn.text), _BOUND.match(insn.text)
            if decided is not None and "flags" in insn.writes:
                within, more = decided
                fits = bound is not None and bound[1][1:] == number and within
                return int(bound[2], 0) + more if bound is not None and fits else None
            if copy is not None and copy[1][1:] == number:
                number = copy[2][1:]
            elif f"x{number}" in insn.writes or insn.kind is Kind.CALL:
                return None
            if decided is None and insn.mnemonic in _WITHIN:
                wanted, more = _WITHIN[insn.mnemonic]
                decided = taken == wanted, more
        return None
