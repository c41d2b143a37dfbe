"""A carried instruction does at its new address what it did at its old one: run both, compare everything."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

import capstone
import pytest
import unicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import arm64_const, x86_const

from lab.arch import AARCH64, X86_64, Arch
from lab.arch.decode import Insn, Kind, decode, decode_one
from lab.errors import RefusedError
from rewriters import moving
from rewriters.moving import Moved

OLD, NEW, STACK = 0x40_0000, 0x440_0124, 0x70_0800
ROOM = 0x8000
WENT_ELSEWHERE = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_EXCEPTION)
"""A jump to an address nothing is mapped at has been taken; where to, the program counter says."""

#: Name -> (word, lowest bit and width of the distance, whether the low 5 bits are a register).
A64_WORDS = {
    "b": (0x1400_0000, 0, 26, False),
    "bl": (0x9400_0000, 0, 26, False),
    "adr": (0x1000_0000, 5, 19, True),
    "adr odd": (0x7000_0000, 5, 19, True),
    "adrp": (0x9000_0000, 5, 19, True),
    "cbz w": (0x3400_0000, 5, 19, True),
    "cbnz x": (0xB500_0000, 5, 19, True),
    "tbz 0": (0x3600_0000, 5, 14, True),
    "tbnz 0": (0x3700_0000, 5, 14, True),
    "tbz 63": (0xB6F8_0000, 5, 14, True),
    "ldr w": (0x1800_0000, 5, 19, True),
    "ldr x": (0x5800_0000, 5, 19, True),
    "ldrsw": (0x9800_0000, 5, 19, True),
    "ldr s": (0x1C00_0000, 5, 19, True),
    "ldr d": (0x5C00_0000, 5, 19, True),
    "ldr q": (0x9C00_0000, 5, 19, True),
    "prfm": (0xD800_0000, 5, 19, False),
    "add imm": (0x9100_0400, 10, 0, True),
    "blr x3": (0xD63F_0060, 0, 0, False),
    "ret": (0xD65F_03C0, 0, 0, False),
} | {f"b.{c}": (0x5400_0000 | c, 5, 19, False) for c in range(16)}

#: D stands for a byte of the distance.
X86_FORMS = """
e9DDDD ebD 7fD 74D 7aD 3e75D 0f84DDDD 2e0f8fDDDD e8DDDD 666648e8DDDD f2e9DDDD e0D e1D e2D e3D 67e3D 67e2D
488b05DDDD 8a05DDDD c705DDDD78563412 c605DDDD12 803dDDDD7f 488305DDDD08 668105DDDD3412 f0480fc105DDDD 4869d8DDDD
486905DDDD10000000 f705DDDD01000000 660f7005DDDD1b 660f3a6305DDDD0c ff25DDDD ff15DDDD ff35DDDD 8f05DDDD 488d05DDDD
4c8d1dDDDD f20f1005DDDD 480fb605DDDD 480fa505DDDD 480fa405DDDD07 d325DDDD c125DDDD05 c3 4889c8 90 480fafc1 f30f1efa
""".split()
#: The emulator has no transactions, no FS base and no such vectors; these are only read.
X86_READ_ONLY = """
c7f8DDDD 64488b05DDDD c5fa6f05DDDD c5f97005DDDD1b c4e27d5805DDDD 62f1fe486f05DDDD 62f3fd481f05DDDD01 c4e37d3905DDDD01
0f0f05DDDDbf f0480fc70dDDDD
""".split()


def a64_insn(name: str, register: int, distance: int) -> Insn:
    word, low, width, has_register = A64_WORDS[name]
    word |= (distance & ((1 << width) - 1)) << low if width else 0
    word |= register if has_register else 0
    return decode_one(AARCH64, word.to_bytes(4, "little"), OLD)


def x86_insn(form: str, distance: int) -> Insn:
    width = form.count("D")
    text = form.replace("D" * width, (distance & (256**width - 1)).to_bytes(width, "little").hex()) if width else form
    raw = bytes.fromhex(text)
    insn = decode_one(X86_64, raw, OLD)
    assert insn.raw == raw, f"{form} is no single instruction: {insn}"
    return insn


@dataclass
class After:
    """What was left: where control went, registers, memory around the old place and the stack; or the fault."""

    pc: int
    registers: dict[str, int]
    memory: bytes
    fault: str = ""


@cache
def registers_of(arch: Arch) -> dict[str, int]:
    if arch is AARCH64:
        names = [f"x{i}" for i in range(31)] + ["sp", "nzcv"] + [f"q{i}" for i in range(32)]
        return {name: getattr(arm64_const, f"UC_ARM64_REG_{name.upper()}") for name in names}
    return {name: getattr(x86_const, f"UC_X86_REG_{name.upper()}") for name in [*arch.gprs, "eflags", "xmm0"]}


@cache
def machine_of(arch: Arch) -> Any:
    if arch is AARCH64:
        machine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        machine.reg_write(arm64_const.UC_ARM64_REG_CPACR_EL1, 3 << 20)
    else:
        machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    for place in (OLD, NEW & ~0xFFF, STACK & ~0xFFF):
        machine.mem_map(place - ROOM, 2 * ROOM)
    return machine


def run(arch: Arch, old: bytes, new: bytes, seed: int, *, moved: bool) -> After:
    """With *old* at OLD and *new* at NEW, run one of them until control leaves it."""
    rng = random.Random(seed)
    machine = machine_of(arch)
    machine.mem_write(OLD - ROOM, rng.randbytes(2 * ROOM))
    machine.mem_write(STACK - 256, rng.randbytes(512))
    machine.mem_write(OLD, old)
    machine.mem_write(NEW, new)
    machine.ctl_flush_tb()
    names = registers_of(arch)
    for name, number in names.items():
        machine.reg_write(number, rng.choice([0, 1, rng.getrandbits(63), 1 << 63]))
        if name == "nzcv":
            machine.reg_write(number, rng.getrandbits(4) << 28)
        elif name == "eflags":
            machine.reg_write(number, 2 | rng.getrandbits(12) & 0x8D5)
    machine.reg_write(names[arch.sp], STACK)
    start, size = (NEW, len(new)) if moved else (OLD, len(old))
    pc = start
    for _ in range(4 if moved else 1):
        try:
            machine.emu_start(pc, 0, count=1)
        except unicorn.UcError as error:
            if error.errno not in WENT_ELSEWHERE:
                return After(0, {}, b"", str(error))
        pc = machine.reg_read(arm64_const.UC_ARM64_REG_PC if arch is AARCH64 else x86_const.UC_X86_REG_RIP)
        if not start <= pc < start + size:
            break
    memory = bytes(machine.mem_read(OLD - ROOM, 2 * ROOM)) + bytes(machine.mem_read(STACK - 256, 512))
    return After(pc, {name: machine.reg_read(number) for name, number in names.items()}, memory)


def assert_same(arch: Arch, insn: Insn, moved: Moved, seed: int, lost: str = "") -> None:
    moved.read_back(arch, NEW)
    before, after = (run(arch, insn.raw, moved.raw, seed, moved=flag) for flag in (False, True))
    assert not before.fault, f"{insn.text}: the original faults ({before.fault}): nothing is compared"
    assert not after.fault, f"{insn.text}: only the carried one faults: {after.fault}"
    behind = {OLD + insn.size: NEW + len(moved.raw)}
    if insn.kind is Kind.CALL:  # the return address is behind the new place
        if arch.lr is not None:
            before.registers[arch.lr] = behind[before.registers[arch.lr]]
        else:
            old, new = ((OLD + insn.size).to_bytes(8, "little"), (NEW + len(moved.raw)).to_bytes(8, "little"))
            at = len(before.memory) - 512 + 256 - 8
            assert before.memory[at : at + 8] == old
            before.memory = before.memory[:at] + new + before.memory[at + 8 :]
    before.pc = behind.get(before.pc, before.pc)
    for name in filter(None, [lost]):
        del before.registers[name], after.registers[name]
    assert before == after, f"{insn.text} at {insn.address:#x} -> {[text for _, text in moved.parts]}"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(A64_WORDS)), st.integers(0, 30), st.integers(-1800, 1800), st.integers(0, 1 << 32))
def test_a_carried_a64_instruction_does_the_same(name: str, register: int, distance: int, seed: int) -> None:
    insn = a64_insn(name, register, distance if abs(distance) > 8 else 9)  # away from the code itself
    vector = name in {"ldr s", "ldr d", "ldr q"}
    moved = moving.carry(AARCH64, insn, NEW, lambda a: a, "x9" if vector else None)
    assert_same(AARCH64, insn, moved, seed, lost="x9" if vector else "")


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(X86_FORMS), st.integers(0x1000, 0x4000), st.booleans(), st.integers(0, 1 << 32))
def test_a_carried_x86_instruction_does_the_same(form: str, distance: int, back: bool, seed: int) -> None:
    if "DDDD" not in form:  # a store to the page it runs from restarts the emulator: data stay a page away
        distance = distance % 80 + 40
    insn = x86_insn(form, -distance if back else distance)
    assert_same(X86_64, insn, moving.carry(X86_64, insn, NEW, lambda a: a), seed)


@pytest.mark.parametrize("form", X86_FORMS + X86_READ_ONLY)
def test_a_displacement_moves_by_the_distance_and_nothing_else_changes(form: str) -> None:
    """Against capstone's own operands, also for encodings the emulator cannot run."""
    insn = x86_insn(form, 0x40 if "DDDD" not in form else 0x1234)
    moved = moving.carry(X86_64, insn, NEW, lambda a: a + 0x1000)
    assert len(moved.raw) == moving.size(X86_64, insn)
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = True
    old = next(engine.disasm(insn.raw, OLD, 1))
    new = list(engine.disasm(moved.raw, NEW))[-1]

    def names(found: Any) -> set[int]:
        direct = capstone.x86.X86_OP_IMM
        targets = {op.imm for op in found.operands if op.type == direct and moving.refers_to(X86_64, insn) == op.imm}
        memory = [op.mem for op in found.operands if op.type == capstone.x86.X86_OP_MEM]
        return targets | {found.address + found.size + m.disp for m in memory if m.base == capstone.x86.X86_REG_RIP}

    if insn.mnemonic in {"loop", "loope", "loopne", "jrcxz", "jecxz", "xbegin"} or insn.target is not None:
        last = decode_one(X86_64, bytes(new.bytes), new.address)
        assert (
            moving.refers_to(X86_64, last)
            == insn.address + insn.size + (0x40 if "DDDD" not in form else 0x1234) + 0x1000
        )
    else:
        assert {address + 0x1000 for address in names(old)} == names(new)
        assert bool(names(old)) == ("D" in form and form != "4869d8DDDD")
    if "DDDD" in form and insn.target is None and form != "4869d8DDDD":
        at = form.index("D") // 2
        assert (moved.raw[:at], moved.raw[at + 4 :]) == (insn.raw[:at], insn.raw[at + 4 :])


def test_what_means_the_same_anywhere_is_carried_byte_for_byte() -> None:
    for arch, raws in (
        (AARCH64, ("5f2403d5", "c0035fd6", "20001fd6", "fd7bbfa9")),
        (X86_64, ("f30f1efa", "c3", "ffe0")),
    ):
        for raw in map(bytes.fromhex, raws):
            insn = decode_one(arch, raw, OLD)
            assert moving.carry(arch, insn, NEW, lambda a: 0).raw == raw
            assert (moving.size(arch, insn), moving.refers_to(arch, insn)) == (len(raw), None)


@pytest.mark.parametrize(
    ("arch", "raw", "why"),
    [
        (AARCH64, "0000005c", "vector literal"),
        (AARCH64, "1f000018", "zero register"),
        (AARCH64, "ffffffff", "does not decode"),
        (X86_64, "67488b0500000000", "modulo 4 GiB"),
        (X86_64, "06", "does not decode"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_its_reason(arch: Arch, raw: str, why: str) -> None:
    insn = decode_one(arch, bytes.fromhex(raw), OLD)
    assert why in moving.problem(arch, insn)
    with pytest.raises(RefusedError, match=why):
        moving.carry(arch, insn, NEW, lambda a: a)


def test_what_is_out_of_reach_is_refused() -> None:
    for insn, far in (
        (a64_insn("b", 0, 9), 1 << 28),
        (a64_insn("adr", 3, 9), 1 << 33),
        (a64_insn("adrp", 3, 9), 1 << 33),
    ):
        with pytest.raises(RefusedError, match=r"cannot (be made to )?reach"):
            moving.carry(AARCH64, insn, OLD + far, lambda a: a)
    with pytest.raises(RefusedError, match="cannot be made to reach"):
        moving.carry(X86_64, x86_insn("e8DDDD", 9), OLD + (1 << 33), lambda a: a)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(A64_WORDS)), st.integers(0, 31), st.integers(-1800, 1800), st.integers(0, 1 << 40))
def test_the_size_of_a_carried_a64_instruction_is_known_before_its_address(
    name: str, register: int, distance: int, place: int
) -> None:
    insn = a64_insn(name, register, distance)
    if moving.problem(AARCH64, insn):
        return
    at = OLD + (place % 0x7FF_0000 & ~3)
    moved = moving.carry(AARCH64, insn, at, lambda a: a)
    assert len(moved.raw) == moving.size(AARCH64, insn)
    read = [(insn.raw, insn.text) for insn in decode(AARCH64, moved.raw, at)]
    assert read == list(moved.parts)


@pytest.mark.parametrize("name", [n for n, spec in A64_WORDS.items() if spec[2]])
def test_retarget_keeps_the_form(name: str) -> None:
    insn = a64_insn(name, 7, 40)
    old = moving.refers_to(AARCH64, insn)
    assert old is not None
    assert moving.retarget(AARCH64, insn, OLD, old).raw == insn.raw
    there = moving.retarget(AARCH64, insn, OLD + 0x1000, old + 0x1000)
    assert there.raw == insn.raw
    nearer = decode_one(AARCH64, moving.retarget(AARCH64, insn, OLD, old + 0x1000).raw, OLD)
    assert (moving.refers_to(AARCH64, nearer), nearer.mnemonic) == (old + 0x1000, insn.mnemonic)


@pytest.mark.parametrize("form", [f for f in X86_FORMS + X86_READ_ONLY if "D" in f and f != "4869d8DDDD"])
def test_retarget_keeps_the_form_on_x86(form: str) -> None:
    insn = x86_insn(form, 0x40)
    assert moving.retarget(X86_64, insn, OLD, OLD + insn.size + 0x40).raw == insn.raw
    assert moving.retarget(X86_64, insn, NEW, NEW + insn.size + 0x40).raw == insn.raw
    assert moving.retarget(X86_64, insn, OLD, OLD + insn.size + 0x41).raw == x86_insn(form, 0x41).raw
