"""setjmp and longjmp by what they do, whatever they are called.

setjmp stores every callee-saved register, and a value made from SP, at its first argument; longjmp loads them from
there and sets SP.  getcontext and setcontext do so too, but enter the kernel or carry the argument registers along.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.arch.decode import Insn, Kind
from rewriters.census.body import JumpKind, JumpShape
from rewriters.census.origins import Made, Origins
from rewriters.census.scan import Op, Scan
from rewriters.census.unit import Place

_N = r"(?:0x[0-9a-f]+|\d+)"


@dataclass(frozen=True)
class _Rules:
    """``saved``: callee-saved registers that are always kept as they are (the frame pointer may be mangled);
    ``context``: argument registers; ``most``: of these a longjmp may use for itself; ``access``: a load or store."""

    argument: str
    saved: frozenset[str]
    context: frozenset[str]
    most: int
    access: re.Pattern[str]


_RULES = {
    "aarch64": _Rules(
        "x0",
        frozenset(f"x{i}" for i in range(19, 29)),
        frozenset(f"x{i}" for i in range(8)),
        5,
        re.compile(rf"(?P<op>st|ld)\w* (?P<regs>[^\[]*), \[(?P<n>x\d+)(?:, #(?P<i>-?{_N}))?\]"),
    ),
    "x86_64": _Rules(
        "rdi",
        frozenset({"rbx", "r12", "r13", "r14", "r15"}),
        frozenset({"rdi", "rsi", "rdx", "rcx", "r8", "r9"}),
        4,
        re.compile(
            r"(?P<op>\w+) (?:(?P<to>\w+), )?(?P<size>\w+) ptr "
            rf"\[(?P<n>r\w+)(?: (?P<sign>[+-]) (?P<i>{_N}))?\](?:, (?P<from>\w+))?$"
        ),
    ),
}
_SETS_SP = frozenset({Op.SP_REG, Op.SP_MOVE, Op.SP_LOST, Op.SP_LOAD})
_SIZES = {"qword": 8, "dword": 4, "word": 2, "byte": 1}
_A64_SIZES = {"x": 8, "d": 8, "w": 4, "s": 4, "q": 16}


@dataclass(frozen=True, slots=True)
class _Access:
    index: int
    store: bool
    registers: tuple[str, ...]
    base: str
    offset: int
    size: int


def jump_shape(origins: Origins, scan: Scan, place: Place) -> JumpShape | None:
    """What *place* is, if it is one of the two; *origins* of a unit that is this place alone."""
    rules = _RULES[scan.arch.name]
    accesses = [
        access
        for index in range(place.low, place.high)
        if (access := _access(rules, index, origins.insn(index))) and _argument(origins, access, rules)
    ]
    stored = {name for access in accesses if access.store for name in access.registers}
    loaded = {name for access in accesses if not access.store for name in access.registers}
    kind = None
    if rules.saved <= stored and not _enters_kernel(scan, place) and _stores_stack(origins, accesses):
        kind = JumpKind.SETJMP
    elif rules.saved <= loaded and len(loaded & rules.context) <= rules.most and _jumps(origins, scan, place):
        kind = JumpKind.LONGJMP
    if kind is None:
        return None
    touches = tuple(sorted({(access.offset, access.size) for access in accesses}))
    return JumpShape(place.function, kind, scan.addresses[place.entry], rules.argument, touches)


def _access(rules: _Rules, index: int, insn: Insn) -> _Access | None:
    match = rules.access.match(insn.text)
    if match is None:
        return None
    fields = match.groupdict()
    offset = int(fields["i"] or "0", 0) * (-1 if fields.get("sign") == "-" else 1)
    if "regs" in fields:
        names = tuple(name.strip() for name in fields["regs"].split(","))
        size = len(names) * _A64_SIZES.get(names[0][0], 8)
        return _Access(index, fields["op"] == "st", names, fields["n"], offset, size)
    moves = fields["op"] == "mov"
    names = tuple(name for name in (fields["to"], fields["from"]) if name and moves)
    return _Access(index, moves and fields["to"] is None, names, fields["n"], offset, _SIZES.get(fields["size"], 8))


def _argument(origins: Origins, access: _Access, rules: _Rules) -> bool:
    """Whether the base is the first argument as it was passed."""
    made = origins.of(access.index, access.base)
    return bool(made) and all(o.made is Made.ENTRY and o.register == rules.argument and not o.offset for o in made)


def _enters_kernel(scan: Scan, place: Place) -> bool:
    return any(place.low <= index < place.high for index in scan.syscalls)


def _stores_stack(origins: Origins, accesses: list[_Access]) -> bool:
    """Whether a value made from SP, perhaps mangled, is among what is stored."""
    wanted = {Made.STACK, Made.MIXED, Made.UNKNOWN}
    return any(
        origin.made in wanted
        for access in accesses
        if access.store
        for name in access.registers
        for origin in origins.of(access.index, name)
    )


def _jumps(origins: Origins, scan: Scan, place: Place) -> bool:
    """Whether the function sets SP to what some register holds, and leaves through a register or a return.

    What only loads as many registers as a longjmp, under pressure and from an array it was given, restores its own SP.
    """
    indices = range(place.low, place.high)
    if not any(op[0] in _SETS_SP for index in indices for op in scan.effects.get(index, ())):
        return False
    return any(origins.insn(index).kind in {Kind.INDIRECT, Kind.RETURN} for index in indices)
