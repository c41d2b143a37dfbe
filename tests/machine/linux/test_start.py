"""How a process starts: its stack, its auxiliary vector, what it may be given."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InputError
from lab.images.image import load_image
from lab.machine.linux.pages import ARENA, ARENA_SIZE
from lab.machine.linux.process import Process
from lab.machine.machine import End, Machine
from tests.support import ARCH_NAMES, assemble

AT = {3: "phdr", 4: "phent", 5: "phnum", 6: "pagesz", 9: "entry", 11: "uid", 16: "hwcap", 23: "secure", 25: "random"}
EXIT_ARGC = {
    "aarch64": "ldr x0, [sp]\n mov x8, #94\n svc #0",
    "x86_64": "mov (%rsp), %rdi\n mov $231, %eax\n syscall",
}


def image(arch: str):
    return assemble(arch, f"FUNC _start\n{EXIT_ARGC[arch]}\nEND _start\n", start=False)


def text(machine: Machine, address: int) -> bytes:
    return machine.memory.read(address, 200).split(b"\0")[0]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_stack_is_as_linux_lays_it_out(arch: str) -> None:
    built = image(arch)
    machine = Machine(built, process=Process(("prog", "one", "zwei ö"), ("A=1", "B=x=y")))
    sp, load = machine.initial_sp, machine.memory.load
    assert sp % 16 == 0
    assert load(sp) == 3
    argv = [load(sp + 8 + 8 * i) for i in range(4)]
    assert [text(machine, at or 0) for at in argv[:3]] == [b"prog", b"one", "zwei ö".encode()]
    assert argv[3] == 0
    env = [load(sp + 40 + 8 * i) for i in range(3)]
    assert [text(machine, at or 0) for at in env[:2]] == [b"A=1", b"B=x=y"]
    assert env[2] == 0
    at, aux = sp + 64, {}
    while load(at):
        aux[load(at)] = load(at + 8)
        at += 16
    values = {name: aux[number] for number, name in AT.items()}
    assert values["entry"] == built.entry
    assert (values["phent"], values["pagesz"], values["uid"], values["secure"]) == (56, 4096, 0, 0)
    assert values["phdr"] == built.headers.address
    assert values["phnum"] == built.headers.count > 0
    raw = built.path.read_bytes()
    table = machine.memory.read(values["phdr"], 56 * values["phnum"])
    assert table == raw[64 : 64 + len(table)]
    assert len(machine.memory.read(values["random"], 16)) == 16
    assert 33 not in aux  # AT_SYSINFO_EHDR: there is no vDSO
    assert text(machine, aux[31]) == b"prog"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_guest_finds_argc(arch: str) -> None:
    outcome = Machine(image(arch), process=Process(tuple("abcde"))).execute(lambda pc: None)
    assert (outcome.end, outcome.status) == (End.EXIT, 5)
    assert outcome.trace is not None
    assert [call.name for call in outcome.trace.calls] == ["exit_group"]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_without_a_process_there_is_neither_arena_nor_trace(arch: str) -> None:
    machine = Machine(image(arch))
    assert [m.name for m in machine.mappings if m.name in {"arena", "trampoline"}] == []
    outcome = machine.execute(lambda pc: None)
    assert (outcome.status, outcome.trace) == (0, None)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_arena_is_mapped_before_the_run_and_closed(arch: str) -> None:
    touch = {
        "aarch64": "mov x1, #0x7f00000000\n movk x1, #0xb000, lsl #16\n ldr x0, [x1]",
        "x86_64": "movabs $0x7fb0000000, %rax\n mov (%rax), %rdi",
    }[arch]
    built = assemble(arch, f"FUNC _start\n{touch}\n{EXIT_ARGC[arch]}\nEND _start\n", start=False)
    machine = Machine(built, process=Process(("a",)))
    assert (ARENA, ARENA + ARENA_SIZE) in [(m.start, m.end) for m in machine.mappings]
    assert machine.execute(lambda pc: None).end is End.FAULT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((),), "at least argv"),
        ((("a\0b",),), "NUL"),
        ((("a",), ("novalue",)), "NAME=value"),
        ((("a",), ("=x",)), "NAME=value"),
        ((("a" * 200_000,),), "KiB"),
    ],
)
def test_what_no_process_can_have_is_one_line(arguments, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Process(*arguments)
    assert "\n" not in str(caught.value)


def test_an_image_without_program_headers_in_memory_is_refused(tmp_path: Path) -> None:
    built = image("aarch64")
    raw = bytearray(built.path.read_bytes())
    table = raw[64 : 64 + 56 * built.headers.count]
    raw[32:40] = len(raw).to_bytes(8, "little")  # e_phoff: a copy at the end of the file, which no segment holds
    path = tmp_path / "moved"
    path.write_bytes(bytes(raw + table))
    with pytest.raises(InputError, match="program headers are in no segment"):
        Machine(load_image(path), process=Process(("a",)))
