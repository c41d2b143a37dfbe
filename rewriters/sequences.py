"""What is written at a site: flavour x policy, described once per architecture as data.

A template line is one instruction in capstone's spelling.  ``{s0} {s1}`` are scratch registers that are dead at
the site, ``{lo}`` is the cell's offset in its page.  A leading ``@`` marks a pc-relative form (rewriters.encode).
``!`` at the end of a line marks the instruction that, once retired, changes the answer to "is this activation
on the shadow stack?".

Rules every sequence keeps:

* AArch64 leaves NZCV alone: clang puts AUTIASP between a compare and its branch.
* The pointer moves last in a push (store first) and last in a pop (read first): whoever reads the shadow stack from
  an interrupt finds no entry that has not been written, and a pop stands an interrupter that pushes on the same
  shadow stack.  A push of Flavour.MEMORY does not: between its store and its pointer update such an interrupter
  overwrites the entry.  (Moving the pointer first would stand that, and show a stale entry meanwhile.)  Kernels
  give interrupts a shadow stack of their own.
* x86-64 never leaves the return address below RSP, where an interrupt would overwrite it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.arch import AARCH64, Arch
from lab.layout import Flavour, Policy
from rewriters import encode
from rewriters.encode import number
from rewriters.sites import Action

#: Distance of the parallel shadow stack below the stack: 0xC00 pages = 12 MiB (bytes).
DISTANCE = 0xC00 << 12

Key = tuple[str, Flavour, Action, Policy | None]
_PUSH, _POP = Action.PUSH, Action.POP
_REG, _PAR, _MEM = Flavour.REGISTER, Flavour.PARALLEL, Flavour.MEMORY
_RECORD, _USE, _CHECK = Policy.RECORD, Policy.USE, Policy.CHECK

_A64_TRAP = "eor {s0}, {s0}, x30; @cbz {s0}, 8; brk #1"
_A64_CELL = "@adrp {s0}; ldr {s1}, [{s0}{lo}]; "
_X86_TRAP = "cmp {s0}, qword ptr [rsp]; @je 2; ud2"

_TEXTS: dict[Key, str] = {
    ("aarch64", _REG, _PUSH, None): "str x30, [x18], #8 !",
    ("aarch64", _REG, _POP, _RECORD): "sub x18, x18, #8 !",
    ("aarch64", _REG, _POP, _USE): "ldr x30, [x18, #-8]! !",
    ("aarch64", _REG, _POP, _CHECK): "ldr {s0}, [x18, #-8]! !; " + _A64_TRAP,
    ("aarch64", _PAR, _PUSH, None): "sub {s0}, sp, #0xc00, lsl #12; str x30, [{s0}] !",
    ("aarch64", _PAR, _POP, _RECORD): "",
    ("aarch64", _PAR, _POP, _USE): "sub {s0}, sp, #0xc00, lsl #12; ldr x30, [{s0}] !",
    ("aarch64", _PAR, _POP, _CHECK): "sub {s0}, sp, #0xc00, lsl #12; ldr {s0}, [{s0}] !; " + _A64_TRAP,
    ("aarch64", _MEM, _PUSH, None): _A64_CELL + "str x30, [{s1}], #8; str {s1}, [{s0}{lo}] !",
    ("aarch64", _MEM, _POP, _RECORD): _A64_CELL + "sub {s1}, {s1}, #8; str {s1}, [{s0}{lo}] !",
    ("aarch64", _MEM, _POP, _USE): _A64_CELL + "ldr x30, [{s1}, #-8]!; str {s1}, [{s0}{lo}] !",
    ("aarch64", _MEM, _POP, _CHECK): (
        _A64_CELL + "ldr {s0}, [{s1}, #-8]!; " + _A64_TRAP + "; @adrp {s0}; str {s1}, [{s0}{lo}] !"
    ),
    ("x86_64", _PAR, _PUSH, None): "push qword ptr [rsp]; pop qword ptr [rsp - 0xc00000] !",
    ("x86_64", _PAR, _POP, _RECORD): "",
    ("x86_64", _PAR, _POP, _USE): "push qword ptr [rsp - 0xc00000]; pop qword ptr [rsp] !",
    ("x86_64", _PAR, _POP, _CHECK): "mov {s0}, qword ptr [rsp - 0xc00000] !; " + _X86_TRAP,
    ("x86_64", _MEM, _PUSH, None): "@load {s0}; push qword ptr [rsp]; pop qword ptr [{s0}]; @add 8 !",
    ("x86_64", _MEM, _POP, _RECORD): "@sub 8 !",
    ("x86_64", _MEM, _POP, _USE): "@load {s0}; push qword ptr [{s0} - 8]; pop qword ptr [rsp]; @sub 8 !",
    ("x86_64", _MEM, _POP, _CHECK): "@load {s0}; mov {s0}, qword ptr [{s0} - 8]; " + _X86_TRAP + "; @sub 8 !",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One template instruction.  ``flips``: see the module's text."""

    text: str
    flips: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """The instructions of one site.  ``scratch``: how many dead registers it needs; ``flags``: whether it
    changes the condition flags."""

    lines: tuple[Line, ...]
    scratch: int
    flags: bool


@dataclass(frozen=True, slots=True)
class Emitted:
    """One instruction at its address.  ``flipped``: the sequence's effect has happened *before* this
    instruction; ``pushed``: bytes the sequence itself has on the stack before it."""

    address: int
    raw: bytes
    text: str
    flipped: bool
    pushed: int


@dataclass(frozen=True, slots=True)
class Binding:
    """What a template's names stand for at one site."""

    scratch: tuple[str, ...] = ()
    cell: int | None = None


def sequence(arch: Arch, flavour: Flavour, action: Action, policy: Policy) -> Sequence:
    """The sequence for *action*; a push is the same under every policy."""
    text = _TEXTS[arch.name, flavour, action, None if action is Action.PUSH else policy]
    lines = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        flips = part.endswith(" !")
        lines.append(Line(part.removesuffix(" !"), flips))
    scratch = sum(f"{{s{i}}}" in text for i in range(2))
    flags = arch != AARCH64 and any(name in text for name in ("cmp", "@add", "@sub"))
    return Sequence(tuple(lines), scratch, flags)


def emit(arch: Arch, what: Sequence, address: int, binding: Binding) -> list[Emitted]:
    """*what* assembled at *address*, every instruction read back."""
    names = {f"s{i}": name for i, name in enumerate(binding.scratch)} | {"lo": _page_offset(binding.cell)}
    emitted: list[Emitted] = []
    flipped, pushed = not what.lines, 0
    for line in what.lines:
        text = line.text.format(**names)
        if text.startswith("@"):
            raw, text = _FORMS[text.split()[0]](address, text, binding)
        else:
            raw = encode.template(arch, text)
        encode.read_back(arch, raw, address, text)
        emitted.append(Emitted(address, raw, text, flipped, pushed))
        address += len(raw)
        flipped = flipped or line.flips
        pushed += {"push": 8, "pop": -8}.get(text.split()[0], 0)
    return emitted


def _page_offset(cell: int | None) -> str:
    return "" if cell is None or cell & 0xFFF == 0 else f", #{number(cell & 0xFFF)}"


def _cell(binding: Binding) -> int:
    assert binding.cell is not None, "a memory sequence without its cell"
    return binding.cell


def _arguments(text: str) -> list[str]:
    return [part.strip() for part in text.split(None, 1)[1].split(",")]


_FORMS: dict[str, Callable[[int, str, Binding], encode.Encoded]] = {
    "@adrp": lambda pc, text, b: encode.a64_adrp(pc, _arguments(text)[0], _cell(b)),
    "@cbz": lambda pc, text, b: encode.a64_cbz(pc, _arguments(text)[0], pc + int(_arguments(text)[1])),
    "@je": lambda pc, text, b: encode.x86_je(pc, pc + 2 + int(_arguments(text)[0])),
    "@load": lambda pc, text, b: encode.x86_mov_load(pc, _arguments(text)[0], _cell(b)),
    "@add": lambda pc, text, b: encode.x86_adjust(pc, "add", _cell(b), int(_arguments(text)[0])),
    "@sub": lambda pc, text, b: encode.x86_adjust(pc, "sub", _cell(b), int(_arguments(text)[0])),
}


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses the entry stub needs: the shadow stack's base, its pointer's cell, the program's own entry."""

    base: int
    cell: int
    entry: int


def entry_stub(arch: Arch, flavour: Flavour, address: int, places: Places) -> list[Emitted]:
    """Set the shadow pointer to the base, then go to the program's own entry.  Only x16-x18 or r10 change."""
    forms = _STUBS[arch.name, flavour]
    emitted: list[Emitted] = []
    for form in forms:
        raw, text = form(address, places)
        encode.read_back(arch, raw, address, text)
        emitted.append(Emitted(address, raw, text, True, 0))
        address += len(raw)
    return emitted


def _a64(text: str) -> encode.Encoded:
    return encode.template(AARCH64, text), text


def _add_low(register: str, target: int) -> encode.Encoded:
    return _a64(f"add {register}, {register}, #{number(target & 0xFFF)}")


_Form = Callable[[int, Places], encode.Encoded]
_STUBS: dict[tuple[str, Flavour], tuple[_Form, ...]] = {
    ("aarch64", _REG): (
        lambda pc, at: encode.a64_adrp(pc, "x18", at.base),
        lambda pc, at: _add_low("x18", at.base),
        lambda pc, at: encode.a64_b(pc, at.entry),
    ),
    ("aarch64", _MEM): (
        lambda pc, at: encode.a64_adrp(pc, "x16", at.base),
        lambda pc, at: _add_low("x16", at.base),
        lambda pc, at: encode.a64_adrp(pc, "x17", at.cell),
        lambda pc, at: _a64(f"str x16, [x17{_page_offset(at.cell)}]"),
        lambda pc, at: encode.a64_b(pc, at.entry),
    ),
    ("x86_64", _MEM): (
        lambda pc, at: encode.x86_lea(pc, "r10", at.base),
        lambda pc, at: encode.x86_mov_store(pc, "r10", at.cell),
        lambda pc, at: encode.x86_jmp(pc, at.entry),
    ),
}
