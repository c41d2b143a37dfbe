"""Host writes: seen by the guest, code included, wherever the translations of the old code lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.arch.decode import Kind
from lab.errors import InputError
from lab.machine.machine import Machine
from lab.machine.memory import PAGE
from tests.machine.native import PythonHook
from tests.support import ARCH_NAMES, assemble

#: Calls callee twice and returns the sum; between the calls, alone in its block, stands ``poke``.
BODY = {
    "aarch64": """
FUNC test_main
        stp x29, x30, [sp, #-16]!
        bl callee
        mov w19, w0
        b poke
poke:   nop
        mov w20, #10
        b after
after:  bl callee
        add w0, w0, w19
        add w0, w0, w20
        ldp x29, x30, [sp], #16
        ret
END test_main
        .balign 4096
        .skip 4088
FUNC callee
        nop
value:  mov w0, #1
        nop
        ret
END callee
""",
    "x86_64": """
FUNC test_main
        sub $8, %rsp
        call callee
        mov %eax, %ebx
        jmp poke
poke:   nop
        mov $10, %ecx
        jmp after
after:  call callee
        add %ebx, %eax
        add %ecx, %eax
        add $8, %rsp
        ret
END test_main
        .balign 4096
        .skip 4093
FUNC callee
        nop
value:  mov $1, %eax
        nop
        ret
END callee
""",
}
#: offset from ``value`` and bytes that make it the constant 2: on x86-64 one byte of an immediate that begins on the
#: page before, alone on its own page but for the rest of the instruction.
TWO = {"aarch64": (0, (0x5280_0000 | 2 << 5).to_bytes(4, "little")), "x86_64": (1, b"\2")}
Run = Callable[[Machine, Callable[[int], None]], int | None]


def by_python(machine: Machine, look: Callable[[int], None]) -> int | None:
    return machine.execute(look).status


def natively(machine: Machine, look: Callable[[int], None]) -> int | None:
    def guarded(pc: int) -> None:
        try:
            look(pc)
        except BaseException as error:
            machine.abort(error)

    hook = PythonHook(guarded)
    return machine.execute_native(hook.address, 0).status


RUNS = pytest.mark.parametrize("run", [by_python, natively])
ARCHES = pytest.mark.parametrize("arch", ARCH_NAMES)


def patch(machine: Machine) -> None:
    offset, data = TWO[machine.arch.name]
    machine.write(machine.image.symbols["value"] + offset, data)


@ARCHES
@RUNS
def test_unpatched_the_program_returns_twelve(arch: str, run: Run) -> None:
    assert run(Machine(assemble(arch, BODY[arch])), lambda pc: None) == 12


def test_on_x86_the_patched_byte_and_the_opcode_lie_on_two_pages() -> None:
    value = assemble("x86_64", BODY["x86_64"]).symbols["value"]
    assert (value + 1) // PAGE == value // PAGE
    assert (value + 2) // PAGE == value // PAGE + 1


@ARCHES
@RUNS
def test_code_written_before_the_run_is_what_runs(arch: str, run: Run) -> None:
    machine = Machine(assemble(arch, BODY[arch]))
    value = machine.image.symbols["value"]
    old = machine.insn_at(value)
    patch(machine)
    assert old.raw != machine.insn_at(value).raw
    assert run(machine, lambda pc: None) == 14


@ARCHES
@RUNS
def test_code_written_from_a_hook_is_what_runs_next(arch: str, run: Run) -> None:
    machine = Machine(assemble(arch, BODY[arch]))
    symbols, texts = machine.image.symbols, []

    def look(pc: int) -> None:
        if pc == symbols["value"]:
            texts.append(machine.insn_at(pc).text)
        if pc == symbols["poke"]:
            patch(machine)

    assert run(machine, look) == 1 + 2 + 10
    assert len(texts) == 2
    assert texts[0] != texts[1], "what was decoded is dropped with what was translated"


@ARCHES
@RUNS
def test_a_block_on_the_same_page_that_has_run_is_dropped_too(arch: str, run: Run) -> None:
    """The second time round the loop everything is translated and chained."""
    loop = {
        "aarch64": "mov w0, #0\nmov w9, #4\nagain: b one\none: add w0, w0, #1\nb two\n"
        "two: subs w9, w9, #1\nb.ne again\nret",
        "x86_64": "xor %eax, %eax\nmov $4, %ecx\nagain: jmp one\none: add $1, %eax\njmp two\n"
        "two: dec %ecx\njne again\nret",
    }[arch]
    machine = Machine(assemble(arch, f"FUNC test_main\n{loop}\nEND test_main\n"))
    symbols, rounds = machine.image.symbols, []
    address, data = {"aarch64": (0, (0x1100_0000 | 16 << 10).to_bytes(4, "little")), "x86_64": (2, b"\x10")}[arch]

    def look(pc: int) -> None:
        if pc == symbols["again"]:
            rounds.append(pc)
            if len(rounds) == 3:
                machine.write(symbols["one"] + address, data)

    assert run(machine, look) == 1 + 1 + 16 + 16


@ARCHES
@RUNS
def test_what_lies_behind_in_the_block_that_runs_is_new_the_next_time_round(arch: str, run: Run) -> None:
    loop = {
        "aarch64": "mov w0, #0\nmov w9, #4\nagain: add w0, w0, #1\nsubs w9, w9, #1\nlast: b.ne again\nret",
        "x86_64": "xor %eax, %eax\nmov $4, %ecx\nagain: add $1, %eax\ndec %ecx\nlast: jne again\nret",
    }[arch]
    machine = Machine(assemble(arch, f"FUNC test_main\n{loop}\nEND test_main\n"))
    symbols, rounds = machine.image.symbols, []
    offset, data = {"aarch64": (0, (0x1100_0000 | 16 << 10).to_bytes(4, "little")), "x86_64": (2, b"\x10")}[arch]

    def look(pc: int) -> None:
        if pc == symbols["last"]:
            rounds.append(pc)
            if len(rounds) == 2:
                machine.write(symbols["again"] + offset, data)

    assert run(machine, look) == 1 + 1 + 16 + 16
    assert len(rounds) == 4


#: Returns the sum of the bytes of callee's constant the second time; the constant begins at the end of a page.
SUM_OF_BYTES = """
FUNC test_main
        call callee
        xor %eax, %eax
        jmp poke
poke:   nop
        jmp after
after:  call callee
        imul $0x01010101, %eax, %eax
        shr $24, %eax
        ret
END test_main
        .balign 4096
        .skip 4093
FUNC callee
        nop
value:  mov $1, %eax
        nop
        ret
END callee
"""


@pytest.mark.parametrize(("index", "byte", "status"), [(0, 0xBA, 0), (1, 5, 5), (2, 5, 6), (3, 5, 6), (4, 5, 6)])
@RUNS
def test_any_one_byte_of_an_x86_instruction_may_be_written(index: int, byte: int, status: int, run: Run) -> None:
    """The first changes eax into edx, the others are the constant's; from the third on they lie on another page."""
    machine = Machine(assemble("x86_64", SUM_OF_BYTES))
    symbols, seen = machine.image.symbols, []
    assert (symbols["value"] + 2) % PAGE == 0

    def look(pc: int) -> None:
        if pc == symbols["poke"]:
            machine.write(symbols["value"] + index, bytes([byte]))
        if pc == symbols["value"]:
            seen.append(machine.insn_at(pc).raw)

    assert run(machine, look) == status
    assert len(set(seen)) == 2


@ARCHES
@RUNS
def test_writing_what_the_processor_is_about_to_run_is_refused_not_ignored(arch: str, run: Run) -> None:
    machine = Machine(assemble(arch, BODY[arch]))
    poke, heard = machine.image.symbols["poke"], []
    machine.on_write(lambda address, size: heard.append(address))
    before = machine.memory.read(poke, 16)

    def look(pc: int) -> None:
        if pc == poke:
            machine.write(poke + machine.insn_at(poke).size, b"\0")

    with pytest.raises(InputError, match=r"into the block that runs at .*; write before"):
        run(machine, look)
    assert machine.memory.read(poke, 16) == before
    assert not heard


@ARCHES
@RUNS
def test_data_written_from_a_hook_is_read_by_the_next_instruction(arch: str, run: Run) -> None:
    body = {"aarch64": "here: ldr w0, [sp, #-16]\nret", "x86_64": "here: mov -16(%rsp), %eax\nret"}[arch]
    machine = Machine(assemble(arch, f"FUNC test_main\n{body}\nEND test_main\n"))
    heard: list[tuple[int, int]] = []
    machine.on_write(lambda address, size: heard.append((address, size)))
    slots = []

    def look(pc: int) -> None:
        if pc == machine.image.symbols["here"]:
            slots.append(machine.registers()[machine.arch.sp] - 16)
            machine.write(slots[-1], b"\x2a\0\0\0")

    assert run(machine, look) == 42
    assert heard == [(slots[0], 4)]


@ARCHES
def test_everybody_who_asked_hears_of_a_write(arch: str) -> None:
    machine = Machine(assemble(arch, BODY[arch]))
    heard: list[tuple[str, int, int]] = []
    machine.on_write(lambda address, size: heard.append(("one", address, size)))
    machine.on_write(lambda address, size: heard.append(("two", address, size)))
    low = machine.stack_low
    machine.write(low, b"abc")
    machine.write(low, b"")
    assert heard == [("one", low, 3), ("two", low, 3)]
    assert machine.memory.read(low, 4) == b"abc\0"


@ARCHES
@pytest.mark.parametrize("data", [b"\1\2", b""])
def test_a_write_where_nothing_is_mapped_is_an_error(arch: str, data: bytes) -> None:
    machine = Machine(assemble(arch, BODY[arch]))
    with pytest.raises(InputError, match="not all of it is mapped"):
        machine.write(0x10, data)
    with pytest.raises(InputError, match=f"2 bytes at {machine.stack_high - 1:#x}"):
        machine.write(machine.stack_high - 1, b"\1\2")
    assert machine.memory.read(machine.stack_high - 1, 1) == b"\0"


@ARCHES
def test_an_instruction_that_could_not_be_decoded_can_be_once_it_is_whole(arch: str) -> None:
    """What the decoder gave up on may depend on bytes behind the ones it stands for."""
    bad = {"aarch64": ".inst 0xffffffff", "x86_64": ".byte 0x48, 0xff, 0xff"}[arch]
    machine = Machine(assemble(arch, f"FUNC test_main\nret\nbad: {bad}\nret\nEND test_main\n"))
    address = machine.image.symbols["bad"]
    assert machine.insn_at(address).kind is Kind.UNDECODED
    good = {"aarch64": (0xD503_201F).to_bytes(4, "little"), "x86_64": b"\xc0"}[arch]  # nop; inc rax
    machine.write(address + {"aarch64": 0, "x86_64": 2}[arch], good)
    assert machine.insn_at(address).kind is Kind.OTHER
