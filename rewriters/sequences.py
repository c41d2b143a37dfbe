"""Sequences: the text of a flavour (rewriters.flavours) assembled at an address, every instruction read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from lab.arch import AARCH64, X86_64, Arch, arch_by_name
from lab.layout import Flavour, Policy
from rewriters import encode
from rewriters.encode import number
from rewriters.flavours import flavour_by_name
from rewriters.sites import Action

_REG, _MEM, _PAR = Flavour.REGISTER, Flavour.MEMORY, Flavour.PARALLEL


@dataclass(frozen=True, slots=True)
class Line:
    """One template instruction.  ``flips``: it changes whether this activation is on the shadow stack."""

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
    lr: str = "x30"
    """AArch64: the register the function returns through."""


def sequence(arch: Arch, flavour: str | Flavour, action: Action, policy: Policy) -> Sequence:
    """The sequence for *action*; a push is the same under every policy."""
    spec = flavour_by_name(flavour)
    text = spec.push[arch.name] if action is Action.PUSH else spec.pop[arch.name][policy]
    lines = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        flips = part.endswith(" !")
        lines.append(Line(part.removesuffix(" !"), flips))
    scratch = sum(f"{{s{i}}}" in text for i in range(2))
    flags = arch != AARCH64 and any(name in text for name in ("cmp", "@add", "@sub"))
    return Sequence(tuple(lines), scratch, flags)


def emit(arch: Arch, what: Sequence, address: int, binding: Binding) -> list[Emitted]:
    """*what* assembled at *address*, every instruction read back."""
    pieces = assemble(arch, what, address, binding)
    for piece in pieces:
        encode.read_back(arch, piece.raw, piece.address, piece.text)
    return pieces


def assemble(arch: Arch, what: Sequence, address: int, binding: Binding) -> list[Emitted]:
    """*what* assembled at *address*.  The caller has the bytes read back (``emit``, ``rewriters.text``)."""
    emitted: list[Emitted] = []
    for raw, text, flipped, pushed in _recipe(arch.name, what, binding):
        if raw is None:
            code, shown = _FORMS[text.split()[0]](address, text, binding)
        else:
            code, shown = raw, text
        emitted.append(Emitted(address, code, shown, flipped, pushed))
        address += len(code)
    return emitted


@cache
def _recipe(arch_name: str, what: Sequence, binding: Binding) -> tuple[tuple[bytes | None, str, bool, int], ...]:
    """Per instruction: its bytes (None: they depend on the address), text, and what is true before it."""
    arch = arch_by_name(arch_name)
    names = {f"s{i}": name for i, name in enumerate(binding.scratch)}
    names |= {"lo": _page_offset(binding.cell), "lr": binding.lr}
    made: list[tuple[bytes | None, str, bool, int]] = []
    flipped, pushed = not what.lines, 0
    for line in what.lines:
        text = line.text.format(**names)
        made.append((None if text.startswith("@") else encode.template(arch, text), text, flipped, pushed))
        flipped = flipped or line.flips
        pushed += {"push": 8, "pop": -8}.get(text.split()[0], 0)
    return tuple(made)


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
    """Set the shadow pointer to the base, or map the parallel shadow stack; then go to the program's own entry.

    A pointer takes x16-x18 or r10.  The mapping takes the registers of a system call and leaves them 0 where Linux
    starts a process with 0 and the ABI gives it a meaning (x0; rdx); if it fails, the first push faults.
    """
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


def _x86(text: str) -> encode.Encoded:
    return encode.template(X86_64, text), text


#: mmap(SP - 20 MiB, 8 MiB + 64 KiB, PROT_READ|PROT_WRITE, PRIVATE|ANONYMOUS|NORESERVE|FIXED_NOREPLACE, -1, 0): the
#: 8 MiB stack of a Linux process, 12 MiB (rewriters.flavours.api.DISTANCE) lower.
_A64_MAP = (
    "sub x0, sp, #0xc00, lsl #12", "sub x0, x0, #0x800, lsl #12", "and x0, x0, #0xfffffffffffff000",
    "mov x1, #0x810000", "mov x2, #3", "mov x3, #0x4022", "movk x3, #0x10, lsl #16", "mov x4, #-1", "mov x5, #0",
    "mov x8, #0xde", "svc #0", "mov x0, #0",
)  # fmt: skip
_X86_MAP = (
    "lea rdi, [rsp - 0x1400000]", "and rdi, 0xfffffffffffff000", "mov esi, 0x810000", "mov edx, 3",
    "mov r10d, 0x104022", "mov r8, 0xffffffffffffffff", "xor r9d, r9d", "mov eax, 9", "syscall", "xor edx, edx",
)  # fmt: skip


_Form = Callable[[int, Places], encode.Encoded]


def _fixed(assemble_one: Callable[[str], encode.Encoded], lines: tuple[str, ...]) -> tuple[_Form, ...]:
    return tuple(lambda pc, at, line=line: assemble_one(line) for line in lines)


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
    ("aarch64", _PAR): (*_fixed(_a64, _A64_MAP), lambda pc, at: encode.a64_b(pc, at.entry)),
    ("x86_64", _PAR): (*_fixed(_x86, _X86_MAP), lambda pc, at: encode.x86_jmp(pc, at.entry)),
    ("x86_64", _MEM): (
        lambda pc, at: encode.x86_lea(pc, "r10", at.base),
        lambda pc, at: encode.x86_mov_store(pc, "r10", at.cell),
        lambda pc, at: encode.x86_jmp(pc, at.entry),
    ),
}
