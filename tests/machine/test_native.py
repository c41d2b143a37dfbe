"""Running with native hooks: the same instructions, accesses and ends as with Python ones."""

from __future__ import annotations

import pytest

from lab.errors import EngineError
from lab.images.image import Image
from lab.machine.machine import End, Limits, Machine
from tests.machine.native import PythonHook, Record, record, record_access
from tests.support import ARCH_NAMES, assemble, compile_c

LIMITS = Limits(40_000, 20)

#: name -> (AArch64 body, x86-64 body) of test_main.
PROGRAMS = {
    "returns": ("mov w0, #300; ret", "mov $300, %eax; ret"),
    "loops": ("mov w0, #50; 1: subs w0, w0, #1; b.ne 1b; ret", "mov $50, %eax; 1: dec %eax; jne 1b; ret"),
    "stores": (
        "str w0, [sp, #-8]; ldrb w0, [sp, #-8]; stp x1, x2, [sp, #-32]; mov w0, #0; ret",
        "mov %eax, -8(%rsp); mov -8(%rsp), %al; push %rcx; pop %rdx; xor %eax, %eax; ret",
    ),
    "writes": (
        'mov x0, #1; adr x1, 1f; mov x2, #2; mov x8, #64; svc #0; ret; 1: .ascii "hi"; .balign 4',
        'mov $1, %edi; lea 1f(%rip), %rsi; mov $2, %edx; mov $1, %eax; syscall; ret; 1: .ascii "hi"',
    ),
    "no such call": ("mov x8, #222; svc #0; neg x0, x0; ret", "mov $9, %eax; syscall; neg %eax; ret"),
    "reads nothing": ("mov x9, #0x10; ldr x0, [x9]; ret", "mov 0x10, %rax; ret"),
    "writes code": ("nop; adr x9, test_main; str x9, [x9]; ret", "nop; mov %rax, test_main(%rip); ret"),
    "runs the stack": ("mov x9, sp; br x9", "jmp *%rsp"),
    "jumps into nothing": ("mov x9, #0x5000; br x9", "mov $0x5000, %eax; jmp *%rax"),
    "overflows": ("1: sub sp, sp, #2048; str x0, [sp]; b 1b", "1: sub $2048, %rsp; push %rax; jmp 1b"),
    "traps": ("nop; brk #1", "nop; ud2"),
    "breakpoint": ("nop; udf #0", "nop; int3"),
    "halts": ("nop; hlt #1", "nop; hlt"),
    "divides by nothing": ("mov w0, #0; udiv w0, w0, w0; ret", "xor %ecx, %ecx; xor %edx, %edx; div %ecx; ret"),
}


def program(arch: str, name: str) -> Image:
    body = PROGRAMS[name][ARCH_NAMES.index(arch)].replace(";", "\n")
    return assemble(arch, f"FUNC test_main\n{body}\nEND test_main\n")


def test_the_table_is_in_the_order_of_the_architectures() -> None:
    assert ARCH_NAMES == ("aarch64", "x86_64")


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_native_run_is_the_python_run(arch: str, name: str) -> None:
    """The same instructions in the same order, and the same end: status, output, pc and detail."""
    image, pcs, log = program(arch, name), [], Record()
    expected = Machine(image, None, LIMITS).execute(pcs.append)
    outcome = Machine(image, None, LIMITS).execute_native(record.address, log.address)
    assert outcome == expected
    assert log.values() == pcs
    assert len(pcs) > 5


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_bare_run_ends_alike(arch: str, name: str) -> None:
    image = program(arch, name)
    expected = Machine(image, None, LIMITS).execute(lambda pc: None)
    outcome = Machine(image, None, LIMITS).execute_native(0, 0)
    assert (outcome.result, outcome.detail) == (expected.result, expected.detail)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_compiled_program_too(arch: str) -> None:
    source = """
        static int depth(int n) { return n ? depth(n - 1) + n : 0; }
        int (*volatile through)(int) = depth;
        int test_main(void) { int sum = 0; for (int i = 0; i < 20; i++) sum += through(i); return sum & 127; }
    """
    image, pcs, log = compile_c(arch, source, "-O1"), [], Record()
    expected = Machine(image, None, LIMITS).execute(pcs.append)
    assert Machine(image, None, LIMITS).execute_native(record.address, log.address) == expected
    assert log.values() == pcs
    assert len(pcs) > 500


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("code", [False, True], ids=["alone", "with a CODE hook"])
def test_accesses_are_those_of_the_python_run(arch: str, code: bool) -> None:
    seen: list[int] = []
    image, log, accesses = program(arch, "stores"), Record(), Record()
    Machine(image).execute(lambda pc: None, lambda write, address, size: seen.extend((16 + write, address, size)))
    hook, state = (record.address, log.address) if code else (0, 0)
    assert Machine(image).execute_native(hook, state, record_access.address, accesses.address).status == 0
    assert accesses.values(3) == seen
    assert {16, 17} == set(seen[::3])
    assert bool(log.count) is code


def test_a_rep_prefix_is_announced_for_each_iteration_and_once_more() -> None:
    body = "FUNC test_main\nlea -64(%rsp), %rdi\nmov $5, %ecx\nhere: rep stosb\nxor %eax, %eax\nret\nEND test_main\n"
    image, pcs, log = assemble("x86_64", body), [], Record()
    Machine(image).execute(pcs.append)
    Machine(image).execute_native(record.address, log.address)
    here = image.symbols["here"]
    assert (pcs.count(here), log.values().count(here)) == (1, 6)
    assert [pc for pc in log.values() if pc != here] == [pc for pc in pcs if pc != here]


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("hooked", [False, True])
def test_the_second_line_of_defence_ends_what_no_hook_ends(
    arch: str, hooked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = assemble(arch, f"FUNC test_main\n{'b' if arch == 'aarch64' else 'jmp'} test_main\nEND test_main\n")
    log = Record()
    machine = Machine(image, None, Limits(10, -4.7))  # five seconds are added
    outcome = machine.execute_native(record.address if hooked else 0, log.address)
    assert outcome.end is End.BUDGET
    assert outcome.detail == "-4.7 s"


# -- ending a run from a hook -----------------------------------------------------------------------------


def stopping(image: Image, action, at: int = 3):
    """A machine and a hook that calls *action*(machine) before every instruction from the *at*-th on."""
    machine, pcs = Machine(image), []

    def look(pc: int) -> None:
        pcs.append(pc)
        if len(pcs) >= at:
            action(machine)

    return machine, PythonHook(look), pcs


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_stop_ends_before_the_instruction_with_the_outcome_it_says(arch: str) -> None:
    machine, hook, pcs = stopping(program(arch, "loops"), lambda m: m.stop(End.BUDGET, None, "3 instructions"))
    outcome = machine.execute_native(hook.address, 0)
    assert (outcome.end, outcome.status, outcome.detail) == (End.BUDGET, None, "3 instructions")
    assert len(pcs) == 3
    assert outcome.pc == pcs[-1]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_first_stop_says_how_it_ended(arch: str) -> None:
    def twice(machine: Machine) -> None:
        machine.stop(End.EXIT, 4, "first")
        machine.stop(End.FAULT, None, "second")

    machine, hook, _ = stopping(program(arch, "loops"), twice)
    assert machine.execute_native(hook.address, 0).result == "exit 4 ''"


class Planted(BaseException):
    """Not an Exception: an interrupt from the keyboard is none either."""


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_abort_raises_the_first_error_where_the_run_was_started(arch: str) -> None:
    first, second = Planted("first"), Planted("second")

    def twice(machine: Machine) -> None:
        machine.abort(first)
        machine.abort(second)

    machine, hook, pcs = stopping(program(arch, "loops"), twice)
    with pytest.raises(Planted) as caught:
        machine.execute_native(hook.address, 0)
    assert caught.value is first
    assert len(pcs) == 3


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_abort_wins_over_a_stop_and_works_in_a_python_run(arch: str) -> None:
    machine = Machine(program(arch, "loops"))

    def look(_pc: int) -> None:
        machine.stop(End.EXIT, 0, "")
        machine.abort(Planted("planted"))

    with pytest.raises(Planted, match="planted"):
        machine.execute(look)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_hooks_are_gone_after_the_run_even_one_that_was_aborted(arch: str) -> None:
    machine, hook, pcs = stopping(program(arch, "loops"), lambda m: m.abort(Planted()))
    with pytest.raises(Planted):
        machine.execute_native(hook.address, 0)
    machine.cpu.emu_start(machine.image.entry, machine.image.symbols["test_main"])
    assert len(pcs) == 3


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_machine_runs_once(arch: str) -> None:
    machine = Machine(program(arch, "returns"))
    machine.execute_native(0, 0)
    with pytest.raises(EngineError, match="has run already; make a new Machine"):
        machine.execute_native(0, 0)
    with pytest.raises(EngineError, match="has run already"):
        machine.execute(lambda pc: None)
    with pytest.raises(EngineError, match="no run to end"):
        machine.stop(End.EXIT, 0, "")
    with pytest.raises(EngineError, match="no run to end"):
        Machine(program(arch, "returns")).abort(Planted())
