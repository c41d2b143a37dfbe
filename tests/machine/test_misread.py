"""What unicorn would run as another instruction is refused where it is about to execute, however a guest is run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.arch import arch_by_name
from lab.engine.native.counting import NativeCounter
from lab.engine.plan import Plan
from lab.engine.run import ENGINES, execute
from lab.errors import InputError
from lab.images.image import Image
from lab.machine.machine import End, Limits, Machine
from lab.machine.misread import misread
from lab.registry import unwinder
from tests.support import assemble

AVX, XOP = "AVX instruction; the emulator runs it as SSE; build without -mavx", "XOP instruction; the emulator runs it"
MISREAD = {
    "vpaddd %xmm1, %xmm2, %xmm3": AVX,
    "vpaddd %xmm1, %xmm2, %xmm13": AVX,
    "vaddss 8(%rsp), %xmm9, %xmm3": AVX,
    "vpshufb %xmm9, %xmm2, %xmm3": AVX,
    "vpalignr $3, %xmm1, %xmm2, %xmm3": AVX,
    "vmovdqa %xmm1, %fs:8(%eax)": AVX,
    "vpaddd %ymm1, %ymm2, %ymm3": AVX,
    "vzeroupper": AVX,
    "vzeroall": AVX,
    "kmovw %eax, %k1": AVX,
    "blcfill %eax, %eax": XOP,
    "vpcmov %xmm1, %xmm2, %xmm3, %xmm4": XOP,
}
FAULTING = ("vpaddd %zmm1, %zmm2, %zmm3", "vpaddd %xmm17, %xmm2, %xmm3", ".byte 0x66, 0xc5, 0xf9, 0x6f, 0xc1")
PLAIN = (
    "paddd %xmm1, %xmm2", "pshufb %xmm1, %xmm2", "popq -8(%rsp)", "popw %fs:8(%eax)", "lea 5(%rax), %rcx",
    "mov $0xc5c5c5c5, %eax",
)  # fmt: skip

A, B, CONTROL = 0x1234_5678_9ABC_DEF0, 0xFEDC_BA98_7654_6745, 12 << 8 | 5
MASK = (1 << 64) - 1


def scattered(source: int, mask: int) -> int:
    """pdep: the low bits of *source* at the places of *mask*."""
    places = [i for i in range(64) if mask >> i & 1]
    return sum((source >> k & 1) << i for k, i in enumerate(places))


def gathered(source: int, mask: int) -> int:
    """pext: the bits of *source* at the places of *mask*, side by side."""
    places = [i for i in range(64) if mask >> i & 1]
    return sum((source >> i & 1) << k for k, i in enumerate(places))


#: rax is A, rbx B, rdx CONTROL; what rcx is then (Intel SDM vol. 2).
BMI = {
    "andn %rax, %rbx, %rcx": ~B & A & MASK,
    "bextr %rdx, %rax, %rcx": A >> 5 & 0xFFF,
    "blsi %rax, %rcx": A & -A,
    "blsmsk %rax, %rcx": A ^ (A - 1),
    "blsr %rax, %rcx": A & (A - 1),
    "bzhi %rdx, %rax, %rcx": A & 0x1F,
    "mulx %rax, %rbx, %rcx": A * CONTROL >> 64,
    "pdep %rax, %rbx, %rcx": scattered(B, A),
    "pext %rax, %rbx, %rcx": gathered(B, A),
    "rorx $3, %rax, %rcx": A >> 3 | A << 61 & MASK,
    "sarx %rdx, %rbx, %rcx": (B - (1 << 64) >> 5) & MASK,
    "shlx %rdx, %rbx, %rcx": B << 5 & MASK,
    "shrx %rdx, %rbx, %rcx": B >> 5,
}


def guest(instruction: str, *, run: bool = True) -> Image:
    skip = "" if run else "jmp behind"
    text = f"FUNC test_main\nxor %eax, %eax\n{skip}\nhere: {instruction}\nbehind: ret\nEND test_main\n"
    return assemble("x86_64", text)


def by_engine(name: str) -> Callable[[Image], End]:
    plan = Plan((unwinder("fp"), unwinder("oracle")), ("boundary", "call"), Limits(1_000, 60))
    return lambda image: execute(image, None, plan, name).outcome.end


RUNS: dict[str, Callable[[Image], End]] = {name: by_engine(name) for name in ENGINES} | {
    "plain": lambda image: Machine(image).execute(lambda _pc: None).end,
    "counter": lambda image: NativeCounter(Machine(image)).run().end,
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_it_is_refused_where_it_is_about_to_execute(run: Callable[[Image], End]) -> None:
    for instruction, problem in MISREAD.items():
        image = guest(instruction)
        with pytest.raises(InputError) as raised:
            run(image)
        assert str(raised.value).startswith(f"{image.path}: {image.locate(image.symbols['here'])}: {problem}")
        assert run(guest(instruction, run=False)) is End.EXIT, instruction


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_what_the_emulator_faults_on_is_left_to_it(run: Callable[[Image], End]) -> None:
    for instruction in FAULTING:
        assert run(guest(instruction)) is End.FAULT, instruction


@pytest.mark.parametrize("instruction", BMI)
def test_bmi_runs_as_it_should(instruction: str) -> None:
    text = f"mov ${A}, %rax\nmov ${B}, %rbx\nmov ${CONTROL}, %edx\n{instruction}\nhere: ret"
    machine, found = Machine(assemble("x86_64", f"FUNC test_main\n{text}\nEND test_main\n")), []

    def look(pc: int) -> None:
        if pc == machine.image.symbols["here"]:
            found.append(machine.registers()["rcx"])

    machine.execute(look)
    assert found == [BMI[instruction]]


@pytest.mark.parametrize("instruction", PLAIN)
def test_others_are_let_pass(instruction: str) -> None:
    image = guest(instruction)
    machine = Machine(image)
    assert machine.code_at(image.symbols["here"])[:1] == image.read(image.symbols["here"], 1)


def test_the_limit_comes_first_in_neither_engine() -> None:
    """The instruction that would be one too many, refused by both alike."""
    image = guest("vzeroupper")
    before: list[int] = []
    with pytest.raises(InputError):
        Machine(image).execute(before.append)
    plan = Plan((unwinder("fp"),), ("boundary",), Limits(len(before), 60))
    for name in ENGINES:
        with pytest.raises(InputError, match="AVX instruction"):
            execute(image, None, plan, name)


def test_code_that_changes_is_looked_at_again() -> None:
    """By the host, where code was fine when it first ran."""
    image = assemble("x86_64", "FUNC test_main\ncall it\ncall it\nret\nit: .byte 0x0f,0x1f,0x00\nret\nEND test_main\n")
    machine, it, seen = Machine(image), image.symbols["it"], []

    def look(pc: int) -> None:
        seen.append(pc)
        if pc == image.symbols["test_main"] + 5:
            machine.write(it, b"\xc5\xf8\x77")

    with pytest.raises(InputError, match="AVX instruction"):
        machine.execute(look)
    assert seen.count(it) == 1


def test_the_bytes_mean_something_else_elsewhere() -> None:
    assert misread(arch_by_name("x86_64"), b"\xc5\xf8\x77")
    assert not misread(arch_by_name("aarch64"), b"\xc5\xf8\x77\xd5")
    assert not misread(arch_by_name("x86_64"), b"")
