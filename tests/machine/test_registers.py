"""The block of registers: found without an offset, current, in the order it says, and replaceable by a copy."""

from __future__ import annotations

import ctypes
import gc

import pytest

from lab.arch import AARCH64, X86_64, Arch, arch_by_name
from lab.errors import InputError
from lab.machine import pointer
from lab.machine.cpu import new_cpu, register_ids
from lab.machine.machine import End, Machine
from lab.machine.pointer import VARIABLE, block_order, find_register_block
from lab.machine.registers import register_block
from tests.machine.native import PythonHook
from tests.support import ARCH_NAMES, assemble

CALLS = {
    "aarch64": "stp x29, x30, [sp, #-16]!; mov x29, sp; mov x19, #77; bl leaf; ldp x29, x30, [sp], #16; ret",
    "x86_64": "push %rbp; mov %rsp, %rbp; mov $77, %r15d; call leaf; pop %rbp; ret",
}
LEAF = {"aarch64": "mov x0, #3; ret", "x86_64": "mov $3, %eax; ret"}


def program(arch: str):
    main, leaf = (text[arch].replace(";", "\n") for text in (CALLS, LEAF))
    return assemble(arch, f"FUNC test_main\n{main}\nEND test_main\nFUNC leaf\n{leaf}\nEND leaf\n")


def words(address: int, count: int) -> list[int]:
    return list((ctypes.c_uint64 * count).from_address(address))


@pytest.fixture(autouse=True)
def by_pointer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_order_is_the_hardwares() -> None:
    assert block_order(AARCH64) == (*(f"x{i}" for i in range(31)), "sp")
    assert block_order(X86_64)[:8] == ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi")
    assert block_order(X86_64)[8:] == tuple(f"r{i}" for i in range(8, 16))


@pytest.mark.parametrize("arch", [AARCH64, X86_64], ids=lambda arch: arch.name)
def test_the_pointer_reads_what_the_api_writes_and_the_other_way_round(arch: Arch) -> None:
    cpu, ids, order = new_cpu(arch), register_ids(arch), block_order(arch)
    address = find_register_block(cpu, arch)
    assert address is not None
    for index, name in enumerate(order):
        cpu.reg_write(ids[name], (1 << 63) + 0x101 * index + 1)
        assert words(address, len(order))[index] == (1 << 63) + 0x101 * index + 1
        (ctypes.c_uint64 * len(order)).from_address(address)[index] = 0xABC0 + index
        assert cpu.reg_read(ids[name]) == 0xABC0 + index


@pytest.mark.parametrize("arch", [AARCH64, X86_64], ids=lambda arch: arch.name)
def test_the_search_leaves_every_register_as_it_was(arch: Arch) -> None:
    cpu, ids = new_cpu(arch), register_ids(arch)
    for index, name in enumerate(block_order(arch)):
        cpu.reg_write(ids[name], 0x1000 + index)
    others = {name: cpu.reg_read(ids[name]) for name in ("pc", "flags")}
    assert find_register_block(cpu, arch) is not None
    assert [cpu.reg_read(ids[name]) for name in block_order(arch)] == [
        0x1000 + i for i in range(len(block_order(arch)))
    ]
    assert {name: cpu.reg_read(ids[name]) for name in others} == others


@pytest.mark.parametrize("how", ["pointer", "batch"])
@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_at_every_instruction_both_ways_give_what_the_machine_reads(
    arch: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "batch":
        monkeypatch.setenv(VARIABLE, "batch")
    machine = Machine(program(arch))
    block = machine.register_block()
    assert block.how == how
    assert (block.batch is None) == (how == "pointer")
    seen: list[tuple[list[int], list[int]]] = []

    def look(_pc: int) -> None:
        if block.batch is not None:
            _call_as_native_code_does(block.batch)
        registers = machine.registers()
        seen.append((words(block.address, len(block.order)), [registers[name] for name in block.order]))

    hook = PythonHook(look)
    assert machine.execute_native(hook.address, 0).status == 3
    assert len(seen) > 12
    assert len({tuple(ours) for ours, _ in seen}) > 6, "the registers change as the guest runs"
    for ours, theirs in seen:
        assert ours == theirs


def _call_as_native_code_does(batch) -> None:
    read = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3, ctypes.c_int)(batch.function)
    assert read(batch.handle, batch.ids, batch.pointers, batch.count) == 0


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_batch_refreshes_for_python_too(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "batch")
    machine = Machine(program(arch))
    batch = machine.register_block().batch
    assert batch is not None
    values = dict(zip(block_order(machine.arch), batch.refresh(), strict=True))
    assert values[machine.arch.sp] == machine.initial_sp
    assert words(batch.values, batch.count) == list(values.values())


def test_another_value_of_the_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "pointers")
    with pytest.raises(InputError, match="'batch' is the only value"):
        find_register_block(new_cpu(AARCH64), AARCH64)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_after_many_machines_in_one_process_the_block_is_still_found(arch: str) -> None:
    """Machines are cycles, so dead ones pile up until collected; some stay alive among them."""
    image, kept, how = program(arch), [], []
    for index in range(120):
        machine = Machine(image)
        how.append(machine.register_block().how)
        assert machine.execute_native(0, 0).end is End.EXIT
        if not index % 8:
            kept.append(machine)
    assert how == ["pointer"] * 120
    assert len(kept) == 15
    del machine, kept
    gc.collect()


def test_an_allocation_across_two_mappings_is_one_range() -> None:
    assert pointer._merged([(0x3000, 0x5000), (0x1000, 0x3000), (0x9000, 0xA000), (7, 7)]) == [
        (0x1000, 0x5000),
        (0x9000, 0xA000),
    ]


def test_where_there_is_nothing_to_find_the_copy_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = arch_by_name("aarch64")
    cpu = new_cpu(arch)
    cpu.reg_write(register_ids(arch)["x7"], 99)
    monkeypatch.setattr(pointer, "_writable", list)
    block = register_block(cpu, arch)
    assert block.how == "batch"
    assert block.batch is not None
    assert block.batch.refresh()[7] == 99, "a search in vain leaves the registers alone too"


def test_a_copy_of_the_registers_is_not_taken_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pointer._places
    copies = []

    def with_copies(memory: int, handle: int, pattern: bytes) -> list[int]:
        copies.append(ctypes.create_string_buffer(pattern))
        return [ctypes.addressof(copies[-1]), *real(memory, handle, pattern)]

    monkeypatch.setattr(pointer, "_places", with_copies)
    address = find_register_block(new_cpu(X86_64), X86_64)
    assert address is not None
    assert address not in [ctypes.addressof(copy) for copy in copies]
