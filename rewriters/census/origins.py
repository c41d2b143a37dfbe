"""Where a register's value comes from: backwards over all paths, to the instructions that made it."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import cached_property

from lab.arch.decode import Insn, decode_one
from lab.errors import InputError
from lab.images.image import Image
from lab.images.liveness import abi
from rewriters.census.scan import Flow
from rewriters.census.unit import Unit

_MOST_STEPS = 4000


class Made(enum.Enum):
    """How a value was made."""

    ENTRY = "entry"  # there when the function was entered
    STACK = "stack"  # SP plus a constant
    FRAME = "frame"  # loaded from SP or FP plus a constant
    LOAD = "load"  # loaded from elsewhere
    SUM = "sum"  # computed from registers
    MIXED = "mixed"  # an exclusive or: a mangled pointer
    CONSTANT = "constant"  # of ``offset``
    ADDRESS = "address"  # of a place in the image
    CALL = "call"  # by a call
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Origin:
    """One way.  ``register``: of ENTRY; FRAME: the base; ``offset``: what was added to it on the way, FRAME: to the
    base; CONSTANT: the number."""

    made: Made
    index: int
    register: str = ""
    offset: int = 0


_N = r"-?(?:0x[0-9a-f]+|\d+)"
_A64 = (
    (re.compile(r"(?:mov) x\d+, (?P<n>x\d+|sp)$"), "copy"),
    (re.compile(rf"(?P<op>add|sub) x\d+, (?P<n>x\d+|sp), #(?P<i>{_N})(?P<s>, lsl #12)?$"), "copy"),
    (re.compile(rf"mov [xw]\d+, #(?P<i>{_N})$"), "constant"),
    (re.compile(rf"movk (?P<n>[xw]\d+), #(?P<i>{_N})(?:, lsl #(?P<l>\d+))?$"), "insert"),
    (re.compile(r"(?:adr|adrp) x"), "address"),
    (re.compile(r"csel x\d+, (?P<n>x\d+), (?P<m>x\d+),"), "either"),
    (re.compile(rf"ld(?:r|ur|p) .*\[(?P<n>sp|x29)(?:, #(?P<i>{_N}))?\]"), "frame"),
    (re.compile(r"ld"), "load"),
    (re.compile(r"(?:add|sub) x"), "sum"),
    (re.compile(r"eor x"), "mixed"),
)
_X86 = (
    (re.compile(r"mov r\w+, (?P<n>r[a-z0-9]+)$"), "copy"),
    (re.compile(rf"lea r\w+, \[(?P<n>r[a-z0-9]+)(?: (?P<op>[+-]) (?P<i>{_N}))?\]$"), "copy"),
    (re.compile(rf"(?P<op>add|sub) (?P<n>r\w+), (?P<i>{_N})$"), "copy"),
    (re.compile(rf"(?:mov|movabs) \w+, (?P<i>{_N})$"), "constant"),
    (re.compile(r"lea r\w+, \[rip"), "address"),
    (re.compile(r"cmov\w+ (?P<m>r\w+), (?P<n>r\w+)$"), "either"),
    (re.compile(rf"mov r\w+, qword ptr \[(?P<n>rsp|rbp)(?: (?P<op>[+-]) (?P<i>{_N}))?\]$"), "frame"),
    (re.compile(r"pop r"), "pop"),
    (re.compile(r"mov r\w+, qword ptr"), "load"),
    (re.compile(r"(?:add|sub|lea) r"), "sum"),
    (re.compile(r"xor r"), "mixed"),
)


class Origins:
    """Answers for one unit.  *leaders*: index -> indices of table jumps that lead there."""

    def __init__(self, image: Image, unit: Unit) -> None:
        self.image = image
        self.unit = unit
        self.leaders: dict[int, list[int]] = {}
        self._insns: dict[int, Insn] = {}

    @cached_property
    def _sources(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for node, goal in enumerate(self.unit.goals):
            if goal is not None:
                found.setdefault(goal, []).append(self.unit.events[node])
        return found

    def insn(self, index: int) -> Insn:
        """The decoded instruction at *index* of the scan."""
        found = self._insns.get(index)
        if found is None:
            address = self.unit.scan.addresses[index]
            raw = self.image.read(address, int(self.unit.scan.size[index]))
            found = self._insns[index] = decode_one(self.image.arch, raw, address)
        return found

    def word(self, address: int) -> int:
        """Eight bytes of the image at *address* as a number; 0 where there are none."""
        try:
            return int.from_bytes(self.image.read(address, 8), "little")
        except InputError:
            return 0

    def of(self, index: int, register: str, *, through_calls: bool = False) -> frozenset[Origin]:
        """How *register* may have been made before instruction *index*; *through_calls*: calls change nothing."""
        found: set[Origin] = set()
        pending = [(index, register, 0)]
        seen = set(pending)
        while pending and len(seen) < _MOST_STEPS:
            at, name, offset = pending.pop()
            for before in self._before(at):
                for step in self._step(before, name, offset, found, through_calls):
                    if step not in seen:
                        seen.add(step)
                        pending.append(step)
            if self._enters(at):
                found.add(Origin(Made.ENTRY, at, name, offset))
        return frozenset(found) if not pending else frozenset({Origin(Made.UNKNOWN, index)})

    def constant(self, index: int, register: str) -> int | None:
        """The one number *register* holds before *index*; None if it is none."""
        found = self.of(index, register)
        values = {origin.offset for origin in found if origin.made is Made.CONSTANT}
        return values.pop() if len(found) == len(values) == 1 else None

    def _enters(self, index: int) -> bool:
        place = self.unit.place_of(index)
        return place is not None and place.low == index and place.function.start not in self.unit.fragments

    def _before(self, index: int) -> list[int]:
        found = list(self._sources.get(index, ())) + self.leaders.get(index, [])
        place = self.unit.place_of(index)
        if place is not None and index > place.low and not self.unit.ends_at(index - 1):
            found.append(index - 1)
        return found

    def _step(
        self, index: int, name: str, offset: int, found: set[Origin], through: bool
    ) -> list[tuple[int, str, int]]:
        """Where to look on from instruction *index*, or an origin added to *found*."""
        arch = self.image.arch
        if self.unit.scan.flows[index] in {Flow.CALL, Flow.CALL_INDIRECT}:
            rules = abi(arch)
            if rules.bits.get(name, 0) & rules.preserved or (through and name != arch.lr):
                return [(index, name, offset)]
            found.add(Origin(Made.CALL, index))
            return []
        insn = self.insn(index)
        if name not in insn.writes:
            return [(index, name, offset)]
        for pattern, kind in _A64 if arch.lr is not None else _X86:
            match = pattern.match(insn.text)
            if match:
                return self._known(index, match, kind, offset, found)
        found.add(Origin(Made.UNKNOWN, index))
        return []

    def _known(
        self, index: int, match: re.Match[str], kind: str, offset: int, found: set[Origin]
    ) -> list[tuple[int, str, int]]:
        arch = self.image.arch
        fields = match.groupdict()
        amount = int(fields.get("i") or "0", 0) << (12 if fields.get("s") else 0)
        amount = -amount if fields.get("op") in {"sub", "-"} else amount
        match kind:
            case "copy" if fields["n"] == arch.sp:
                found.add(Origin(Made.STACK, index, arch.sp, offset + amount))
            case "copy":
                return [(index, fields["n"], offset + amount)]
            case "either":
                return [(index, fields["n"], offset), (index, fields["m"], offset)]
            case "frame":
                found.add(Origin(Made.FRAME, index, fields["n"], amount))
            case "pop":
                found.add(Origin(Made.FRAME, index, arch.sp, 0))
            case "constant":
                found.add(Origin(Made.CONSTANT, index, "", amount + offset))
            case "insert":
                old = self.constant(index, "x" + fields["n"][1:])
                at = int(fields["l"] or "0")
                new = None if old is None else old & ~(0xFFFF << at) | amount << at
                found.add(
                    Origin(Made.UNKNOWN, index) if new is None else Origin(Made.CONSTANT, index, "", new + offset)
                )
            case _:
                found.add(Origin(Made(kind), index))
        return []
