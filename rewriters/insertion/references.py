"""Who refers to which function's address, and how: whether it may move, and whether pointers to it may follow.

A function's address is compared as well as called, so its pointers go to its new entry all or none.  An address of
its middle, other than in a jump table that is understood, keeps it where it is.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.arch.decode import Insn, Kind
from lab.images.flow import Code
from lab.images.image import Function, Image
from rewriters import moving
from rewriters.insertion.relocations import Kept, Retained

#: Sections of addresses of NOPs that others patch: the words follow the NOPs.
PATCHABLE = "__patchable_function_entries"
_DIRECT = frozenset({Kind.CALL, Kind.JUMP, Kind.BRANCH})


class Form(enum.Enum):
    """How a place holds or forms an address."""

    WORD = "word"  # eight bytes of data
    RELATIVE = "relative"  # an instruction relative to its own address: adr, lea
    PAGE = "page"  # adrp
    LOW = "low"  # add of the low 12 bits
    FIELD = "field"  # four or eight bytes within an instruction


@dataclass(frozen=True, slots=True)
class Pointer:
    """A place that yields the address of a function's start.  ``at``/``width``: of the bytes within it (FIELD)."""

    address: int
    form: Form
    at: int = 0
    width: int = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One jump-table entry at ``address``: ``width`` bytes, (``label`` - ``base``) / ``scale``; or the whole ``label``
    (``base`` is None).  A base in the code moves as labels do."""

    address: int
    label: int
    base: int | None
    width: int = 4
    scale: int = 1
    signed: bool = True


@dataclass
class References:
    """What is known after reading all code and relocations.

    ``pointers``: per function start, every place that yields it.  ``stays``: functions whose code must stay, and why.
    ``fixed``: functions whose pointers must keep naming the old entry, and why.  ``tables``: per function, entries
    that lead into it; ``words``: data words to rewrite when what they name moves (address -> named address).
    ``named``: address -> places of relocations that name it (AArch64)."""

    image: Image
    codes: Mapping[int, Code]
    pointers: dict[int, list[Pointer]] = field(default_factory=dict)
    stays: dict[int, str] = field(default_factory=dict)
    fixed: dict[int, str] = field(default_factory=dict)
    tables: dict[int, list[Entry]] = field(default_factory=dict)
    words: dict[int, int] = field(default_factory=dict)
    named: dict[int, set[int]] = field(default_factory=dict)

    def home(self, address: int) -> Function | None:
        """The function whose code *address* is in."""
        return self.image.function_at(address)

    def insn_at(self, address: int) -> Insn | None:
        """The instruction that holds the byte at *address*, if a function holds it."""
        home = self.home(address)
        if home is None or home.start not in self.codes:
            return None
        code = self.codes[home.start]
        for start in range(address, address - code.arch.max_insn, -1):
            if start in code.index:
                insn = code.insns[code.index[start]]
                return insn if address < insn.end else None
        return None

    def points(self, start: int, pointer: Pointer) -> None:
        """*pointer* yields the function at *start*."""
        self.pointers.setdefault(start, []).append(pointer)

    def stay(self, function: Function, why: str) -> None:
        """*function* must not move; the first reason stands."""
        self.stays.setdefault(function.start, why)

    def fix(self, function: Function, why: str) -> None:
        """Pointers to *function* keep its old entry; the first reason stands."""
        self.fixed.setdefault(function.start, why)

    def unknown(self, target: int, why: str) -> None:
        """Something not understood refers to *target*: its function's pointers stay, or the function itself."""
        home = self.home(target)
        if home is not None:
            (self.fix if target == home.start else self.stay)(home, why)


def read_code(found: References) -> None:
    """Addresses formed relative to an instruction, with or without a relocation: all but direct branches."""
    arch = found.image.arch
    for code in found.codes.values():
        for insn in code.insns:
            if insn.kind in _DIRECT and insn.target is not None:
                continue
            target = moving.refers_to(arch, insn)
            if target is None or insn.mnemonic == "adrp":
                continue
            _formed(found, code.function, insn, target)


def _formed(found: References, function: Function, insn: Insn, target: int) -> None:
    home = found.home(target)
    if home is None:
        if any(s.executable and s.address <= target < s.address + s.size for s in found.image.sections):
            found.stay(function, f"refers to code or a table that no function holds at {insn.address:#x}")
    elif target == home.start and insn.mnemonic in {"adr", "lea"}:
        found.points(home.start, Pointer(insn.address, Form.RELATIVE))
    elif target == home.start:
        found.fix(home, f"its code is read as data at {insn.address:#x}")
    elif insn.mnemonic != "adr" or home.start != function.start:
        found.stay(home, f"an address in its middle is taken at {insn.address:#x}")


def read_data(found: References, kept: Retained, absolute: str) -> dict[int, Kept]:
    """Words of data that name functions.  *absolute* is the kind of a whole address.  Gives back the words that lead
    into the middle of a function, or relative to their own place, for whoever knows tables."""
    left: dict[int, Kept] = {}
    for word in kept.data:
        home = found.home(word.target)
        if word.kind == "IRELATIVE":
            found.unknown(word.target, "it chooses an implementation (IFUNC) before anything else runs")
        elif word.kind == absolute and not found.image.position_independent:
            _absolute(found, word, home, left)
        elif word.kind.startswith(("PC", "PREL")):
            left[word.address] = word
        elif home is not None:
            found.unknown(word.target, f"a relocation {word.kind} at {word.address:#x} names it")
    return left


def _absolute(found: References, word: Kept, home: Function | None, left: dict[int, Kept]) -> None:
    if home is None:
        _before_an_entry(found, word)
        return
    if int.from_bytes(found.image.read(word.address, 8), "little") != word.target:
        found.unknown(word.target, f"the word at {word.address:#x} does not hold what its relocation says")
    elif word.section == PATCHABLE:
        found.words[word.address] = word.target
    elif word.target != home.start:
        left[word.address] = word
    elif word.marks:
        found.fix(home, f"a linker's mark at {word.address:#x} has its address")
    else:
        found.points(home.start, Pointer(word.address, Form.WORD))


def _before_an_entry(found: References, word: Kept) -> None:
    """Patchable NOPs may stand before the function they belong to (-fpatchable-function-entry=N,M)."""
    if word.section == PATCHABLE:
        following = next((f for f in found.image.functions if f.start > word.target), None)
        if following is not None:
            found.stay(following, "has patchable NOPs before its entry")


def read_got(found: References, wanted: set[int]) -> None:
    """Slots of the global offset table that hold the address of a function in *wanted*."""
    for section in found.image.sections:
        if not section.name.startswith(".got") or section.name == ".got.plt":
            continue
        for offset in range(0, len(section.data) - 7, 8):
            value = int.from_bytes(section.data[offset : offset + 8], "little")
            if value in wanted:
                found.points(value, Pointer(section.address + offset, Form.WORD))
