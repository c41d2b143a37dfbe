"""The machine: starting, ending, limits, system calls, signing, and that a guest reaches nothing of the host."""

from __future__ import annotations

import pytest

from lab.errors import InputError
from lab.images.image import Image, Segment
from lab.images.rawelf import PF_R, PF_X
from lab.machine.machine import STACK_SIZE, End, Limits, Machine, Outcome
from lab.machine.memory import PAGE, GuestMemory
from tests.support import ARCH_NAMES, assemble

EXIT = {"aarch64": "mov x8, #94\n svc #0", "x86_64": "mov $231, %eax\n syscall"}


def run(image: Image, limits: Limits | None = None) -> tuple[Outcome, list[int]]:
    pcs: list[int] = []
    return Machine(image, None, limits or Limits(100_000, 20)).execute(pcs.append), pcs


def main(arch: str, aarch64: str, x86_64: str) -> Image:
    body = {"aarch64": aarch64, "x86_64": x86_64}[arch].replace(";", "\n")
    return assemble(arch, f"FUNC test_main\n {body}\nEND test_main\n")


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_exit_status_is_what_main_returned(arch: str) -> None:
    outcome, _ = run(main(arch, "mov w0, #300; ret", "mov $300, %eax; ret"))
    assert (outcome.end, outcome.status) == (End.EXIT, 300 & 0xFF)


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("descriptor", [1, 2])
def test_write_goes_to_a_buffer_and_returns_its_length(arch: str, descriptor: int) -> None:
    image = main(
        arch,
        f'mov x0, #{descriptor}; adr x1, 1f; mov x2, #2; mov x8, #64; svc #0; ret; 1: .ascii "hi"; .balign 4',
        f'mov ${descriptor}, %edi; lea 1f(%rip), %rsi; mov $2, %edx; mov $1, %eax; syscall; ret; 1: .ascii "hi"',
    )
    outcome, _ = run(image)
    assert (outcome.output, outcome.status) == (b"hi", 2)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_every_other_system_call_returns_enosys(arch: str) -> None:
    """openat, mmap, execve and the rest do not exist for a guest."""
    numbers = {"aarch64": (56, 222, 221, 63), "x86_64": (257, 9, 59, 0)}[arch]
    for number in numbers:
        image = main(
            arch,
            f"mov x0, #0; mov x8, #{number}; svc #0; neg x0, x0; ret",
            f"mov ${number}, %eax; syscall; neg %eax; ret",
        )
        outcome, _ = run(image)
        assert outcome.status == 38, number


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_write_to_another_descriptor_is_refused(arch: str) -> None:
    image = main(
        arch,
        "mov x0, #3; mov x1, sp; mov x2, #1; mov x8, #64; svc #0; neg x0, x0; ret",
        "mov $3, %edi; mov %rsp, %rsi; mov $1, %edx; mov $1, %eax; syscall; neg %eax; ret",
    )
    outcome, _ = run(image)
    assert (outcome.output, outcome.status) == (b"", 38)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_output_is_bounded(arch: str) -> None:
    image = main(
        arch,
        "mov x20, #40; 1: mov x0, #1; adr x1, test_main; mov x2, #0x10000; mov x8, #64; svc #0; "
        "subs x20, x20, #1; b.ne 1b; ret",
        "mov $40, %ebx; 1: mov $1, %edi; mov %rsp, %rsi; mov $0x10000, %edx; mov $1, %eax; syscall; "
        "dec %ebx; jne 1b; ret",
    )
    outcome, _ = run(image)
    assert outcome.end is End.EXIT
    assert len(outcome.output) <= 1 << 20


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_an_endless_loop_ends_at_the_instruction_budget(arch: str) -> None:
    outcome, pcs = run(main(arch, "b test_main", "jmp test_main"), Limits(5000, 20))
    assert (outcome.end, len(pcs)) == (End.BUDGET, 5000)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_an_endless_loop_ends_at_the_time_budget(arch: str) -> None:
    outcome, pcs = run(main(arch, "b test_main", "jmp test_main"), Limits(10**12, 0.2))
    assert outcome.end is End.BUDGET
    assert pcs


def test_an_endless_string_instruction_ends_at_the_time_budget() -> None:
    loop = "1: lea -4096(%rsp), %rdi\n mov %rdi, %rsi\n mov $512, %ecx\n rep movsb\n jmp 1b\n"
    body = f"FUNC test_main\n{loop}END test_main\n"
    outcome, _ = run(assemble("x86_64", body), Limits(10**12, 0.2))
    assert outcome.end is End.BUDGET


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_unmapped_memory_is_a_fault_not_a_crash_of_the_host(arch: str) -> None:
    outcome, _ = run(main(arch, "mov x9, #0x10; ldr x0, [x9]; ret", "mov 0x10, %rax; ret"))
    assert outcome.end is End.FAULT


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_code_is_not_writable_and_the_stack_not_executable(arch: str) -> None:
    outcome, _ = run(main(arch, "adr x9, test_main; str x9, [x9]; ret", "mov %rax, test_main(%rip); ret"))
    assert outcome.end is End.FAULT
    outcome, _ = run(main(arch, "mov x9, sp; br x9", "jmp *%rsp"))
    assert outcome.end is End.FAULT


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_overflowing_the_stack_is_a_fault(arch: str) -> None:
    image = main(arch, f"1: str x0, [sp, #-{256}]!; b 1b", "1: push %rax; jmp 1b")
    outcome, pcs = run(image, Limits(10**6, 20))
    assert outcome.end is End.FAULT
    assert len(pcs) < 2 * STACK_SIZE


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_trap_is_told_from_a_fault(arch: str) -> None:
    outcome, _ = run(main(arch, "brk #1", "ud2"))
    assert outcome.end is End.TRAP


SIGNED = """
FUNC test_main
        paciasp
        mov x9, x30
        autiasp
        cmp x9, x30
        cset w0, ne
        ret
END test_main
"""


def test_pointer_authentication_really_signs() -> None:
    outcome, _ = run(assemble("aarch64", SIGNED))
    assert outcome.status == 1, "the signed return address differs from the plain one"


def test_a_forged_return_address_does_not_authenticate() -> None:
    body = "FUNC test_main\n paciasp\n eor x30, x30, #16\n autiasp\n ret\nEND test_main\n"
    outcome, _ = run(assemble("aarch64", body))
    assert outcome.end is End.FAULT


def test_floating_point_and_simd_are_enabled() -> None:
    outcome, _ = run(assemble("aarch64", "FUNC test_main\n fmov d0, #3.0\n fcvtzs w0, d0\n ret\nEND test_main\n"))
    assert outcome.status == 3


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_an_exception_in_an_observer_is_an_error_of_the_run(arch: str) -> None:
    def observer(pc: int) -> None:
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        Machine(main(arch, "ret", "ret")).execute(observer)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_accesses_are_reported_with_direction_and_size(arch: str) -> None:
    image = main(
        arch,
        "str w0, [sp, #-8]; ldrb w0, [sp, #-8]; mov w0, #0; ret",
        "mov %eax, -8(%rsp); mov -8(%rsp), %al; xor %eax, %eax; ret",
    )
    seen: list[tuple[bool, int]] = []
    Machine(image).execute(lambda pc: None, lambda write, address, size: seen.append((write, size)))
    assert (True, 4) in seen
    assert (False, 1) in seen


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_image_starts_like_a_linux_process(arch: str) -> None:
    image = assemble(arch, f"FUNC _start\n {EXIT[arch]}\nEND _start\n", start=False)
    machine = Machine(image)
    first: list[dict[str, int]] = []
    machine.execute(lambda pc: first.append(machine.registers()))
    sp = first[0][image.arch.sp]
    assert sp == machine.initial_sp
    assert sp % 16 == 0
    assert [machine.memory.load(sp + 8 * i) for i in range(5)] == [0] * 5


def test_an_image_where_the_machine_keeps_its_own_memory_is_refused() -> None:
    image = assemble("aarch64", "FUNC test_main\n ret\nEND test_main\n")
    bad = Segment(0x7F_E000_0000, PAGE, b"", PF_R | PF_X)
    clash = Image(image.path, image.sha256, image.arch, False, image.entry, (*image.segments, bad), (), (), {})
    with pytest.raises(InputError, match="keeps for itself"):
        Machine(clash)


def test_memory_loads_only_what_is_whole() -> None:
    memory = GuestMemory()
    memory.add(0x1000, PAGE, "a", writable=True, executable=False)
    memory.write(0x1FF8, b"\1\2\3\4\5\6\7\x08")
    assert memory.load(0x1FF8) == 0x0807060504030201
    assert memory.load(0x1FF9) is None
    assert memory.load(0xFF9) is None
    assert memory.read(0x1FFE, 8) == b"\7\x08"
    with pytest.raises(KeyError):
        memory.write(0x1FFF, b"ab")
