"""Every emitted byte against two other assemblers' opinions: clang's (bytes) and capstone's (text)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.arch import AARCH64, X86_64, Arch, arch_by_name
from lab.arch.decode import decode_one
from lab.errors import EngineError, RefusedError
from lab.images.image import load_image
from lab.layout import Flavour, Policy
from rewriters import encode
from rewriters.flavours.api import DISTANCE
from rewriters.sequences import Binding, Places, emit, entry_stub, sequence
from rewriters.sites import Action
from tests.rewriters import guests

CELL, TEXT = 0x412348, 0x401000
SCRATCH = {"aarch64": ("x16", "x17"), "x86_64": ("r10", "r11")}
KEYS = [
    (arch.name, flavour, action, policy)
    for arch in (AARCH64, X86_64)
    for flavour in Flavour
    for action in Action
    for policy in Policy
    if arch is AARCH64 or flavour is not Flavour.REGISTER
]


def _for_clang(arch: Arch, text: str, address: int, size: int) -> str:
    """The instruction as clang's assembler wants it, with symbols where we have addresses."""
    end = address + size
    text = re.sub(r"^adrp (x\d+), #\w+", r"adrp \1, cell", text)
    text = re.sub(r"^(cbz x\d+,) #(\w+)", lambda m: f"{m[1]} .+{int(m[2], 0) - address}", text)
    text = re.sub(r"^je (\w+)", lambda m: f"je at_{int(m[1], 0):x}", text)
    text = re.sub(r"^(b|jmp) #?(\w+)", r"\1 far", text)

    def symbol(match: re.Match[str]) -> str:
        target = end + int(match[2], 0) * (-1 if match[1] == "-" else 1)
        return "[rip + cell]" if target == CELL else "[rip + base]"

    return re.sub(r"\[rip ([+-]) (\w+)\]", symbol, text) if arch.lr is None else text


@pytest.mark.parametrize("arch", [AARCH64, X86_64], ids=lambda a: a.name)
def test_every_template_equals_clangs_bytes(tmp_path: Path, arch: Arch) -> None:
    address, ours, lines = TEXT, b"", [".text", ".globl _start", "_start:"]
    if arch.lr is None:
        lines.insert(0, ".intel_syntax noprefix")
    pieces = []
    for name, flavour, action, policy in KEYS:
        if name == arch.name:
            pieces.extend(emit(arch, sequence(arch, flavour, action, policy), address, Binding(SCRATCH[name], CELL)))
            address = pieces[-1].address + len(pieces[-1].raw)
    for flavour in (Flavour.REGISTER, Flavour.MEMORY):
        if arch.lr is not None or flavour is Flavour.MEMORY:
            pieces.extend(entry_stub(arch, flavour, address, Places(0x420010, CELL, 0x480000)))
            address = pieces[-1].address + len(pieces[-1].raw)
    for piece in pieces:
        text = _for_clang(arch, piece.text, piece.address, len(piece.raw))
        if text.startswith("adrp") and piece.text.endswith("#0x420000"):
            text = text.replace("cell", "base")
        lines += [f"at_{piece.address:x}:", text]
        ours += piece.raw
    source = guests.Source("seq.s", "\n".join(lines) + "\n")
    flags = (f"-Ttext={TEXT:#x}", f"--defsym=cell={CELL:#x}", "--defsym=far=0x480000", "--defsym=base=0x420010")
    image = load_image(guests.link([guests.compile_one(arch.name, source, tmp_path)], tmp_path / "s.elf", flags))
    assert len(pieces) > 20
    assert image.read(TEXT, len(ours)) == ours


# The table of measured shapes: (instructions, bytes, memory operations).
SHAPES = {
    (Flavour.REGISTER, Action.PUSH, Policy.USE): (1, 4, 1),
    (Flavour.REGISTER, Action.POP, Policy.USE): (1, 4, 1),
    (Flavour.REGISTER, Action.POP, Policy.CHECK): (4, 16, 1),
    (Flavour.REGISTER, Action.POP, Policy.RECORD): (1, 4, 0),
    (Flavour.PARALLEL, Action.PUSH, Policy.USE): (2, 8, 1),
    (Flavour.PARALLEL, Action.POP, Policy.USE): (2, 8, 1),
    (Flavour.PARALLEL, Action.POP, Policy.CHECK): (5, 20, 1),
    (Flavour.PARALLEL, Action.POP, Policy.RECORD): (0, 0, 0),
    (Flavour.MEMORY, Action.PUSH, Policy.USE): (4, 16, 3),
    (Flavour.MEMORY, Action.POP, Policy.USE): (4, 16, 3),
    (Flavour.MEMORY, Action.POP, Policy.CHECK): (8, 32, 3),
    (Flavour.MEMORY, Action.POP, Policy.RECORD): (4, 16, 2),
}


@pytest.mark.parametrize(
    ("key", "shape"), SHAPES.items(), ids=lambda v: "-".join(str(getattr(x, "value", x)) for x in v)
)
def test_aarch64_shapes(key: tuple[Flavour, Action, Policy], shape: tuple[int, int, int]) -> None:
    pieces = emit(AARCH64, sequence(AARCH64, *key), TEXT, Binding(("x16", "x17"), CELL))
    memory = sum(piece.text.split()[0] in {"ldr", "str"} for piece in pieces)
    assert (len(pieces), sum(len(p.raw) for p in pieces), memory) == shape


@pytest.mark.parametrize("key", KEYS, ids=lambda k: "-".join(str(getattr(x, "value", x)) for x in k))
def test_a_sequence_changes_only_what_it_may(key: tuple[str, Flavour, Action, Policy]) -> None:
    """Scratch, SP, the shadow register, x30 in a use; never the flags on AArch64; exactly one flip; SP balanced."""
    name, flavour, action, policy = key
    arch = arch_by_name(name)
    what = sequence(arch, flavour, action, policy)
    pieces = emit(arch, what, TEXT, Binding(SCRATCH[name], CELL))
    may = set(SCRATCH[name][: what.scratch]) | ({"flags"} if what.flags else set())
    may |= {"rsp"} if arch.lr is None else ({"x18"} if flavour is Flavour.REGISTER else set())
    may |= {"x30"} if arch.lr and action is Action.POP and policy is Policy.USE else set()
    writes = set().union(*(decode_one(arch, p.raw, p.address).writes for p in pieces)) if pieces else set()
    assert writes <= may
    assert arch.lr is None or not what.flags
    assert sum(line.flips for line in what.lines) == (1 if what.lines else 0)
    assert all(piece.pushed in {0, 8} for piece in pieces)


def test_x86_keeps_the_return_address_at_or_above_rsp() -> None:
    """No sequence pops the return address itself off the stack: pushes come first."""
    for name, flavour, action, policy in KEYS:
        if name == "x86_64":
            depth = 0
            for line in sequence(X86_64, flavour, action, policy).lines:
                depth += {"push": 8, "pop": -8}.get(line.text.split()[0], 0)
                assert depth >= 0
            assert depth == 0


def test_parallel_distance_is_the_one_in_the_templates() -> None:
    assert DISTANCE == 0xC00000
    assert DISTANCE % 4096 == 0


addresses = st.integers(0x10000, 0x4000_0000).map(lambda a: a & ~3)


@given(addresses, st.integers(-(1 << 25), (1 << 25) - 1))
def test_b_reads_back(pc: int, words: int) -> None:
    target = pc + 4 * words
    if target >= 0:
        code, text = encode.a64_b(pc, target)
        assert encode.read_back(AARCH64, code, pc, text) == code
        assert decode_one(AARCH64, code, pc).target == target


@given(addresses, st.integers(0, 1 << 32), st.integers(0, 17))
def test_adrp_reads_back(pc: int, target: int, register: int) -> None:
    code, text = encode.a64_adrp(pc, f"x{register}", target)
    assert encode.read_back(AARCH64, code, pc, text) == code


@given(addresses, st.integers(-(1 << 18), (1 << 18) - 1), st.integers(0, 30).filter(lambda r: r != 29))
def test_cbz_reads_back(pc: int, words: int, register: int) -> None:
    target = pc + 4 * words
    if target >= 0 and register < 29:
        code, text = encode.a64_cbz(pc, f"x{register}", target)
        assert decode_one(AARCH64, encode.read_back(AARCH64, code, pc, text), pc).target == target


@given(
    st.integers(0x1000, 0x7000_0000),
    st.integers(0x1000, 0x7000_0000),
    st.sampled_from(["rax", "rbx", "r8", "r10", "r11", "r15"]),
)
def test_x86_forms_read_back(pc: int, target: int, register: str) -> None:
    forms = [
        encode.x86_jmp(pc, target),
        encode.x86_je(pc, pc + 2 + target % 100),
        encode.x86_mov_load(pc, register, target),
        encode.x86_mov_store(pc, register, target),
        encode.x86_lea(pc, register, target),
        encode.x86_adjust(pc, "add", target, 8),
        encode.x86_adjust(pc, "sub", target, 8),
    ]
    for code, text in forms:
        assert encode.read_back(X86_64, code, pc, text) == code
    assert decode_one(X86_64, forms[0][0], pc).target == target


def test_out_of_reach_is_refused() -> None:
    with pytest.raises(RefusedError, match="cannot reach"):
        encode.a64_b(0, 1 << 28)
    with pytest.raises(RefusedError, match="cannot reach"):
        encode.a64_b(0, 6)
    with pytest.raises(RefusedError, match="cannot reach"):
        encode.x86_jmp(0, 1 << 33)


def test_a_wrong_byte_is_noticed() -> None:
    with pytest.raises(EngineError, match="read back"):
        encode.read_back(AARCH64, b"\x5e\x86\x00\xf8", 0, "str x29, [x18], #8")
    with pytest.raises(EngineError, match="keystone"):
        encode.template(AARCH64, "paciasp")
