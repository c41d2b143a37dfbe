"""``memory``: guest memory as the host maps it is what the guest writes and reads.

The engines read the guest's stack through the host's own mapping, without asking unicorn.
"""

from __future__ import annotations

from itertools import count

from lab.job import Subject
from lab.machine.machine import Machine
from lab.selftest.cases import LIMITS, Case
from lab.selftest.hooks import run_hooked
from lab.selftest.results import Part

_MOST_PROBLEMS = 5

#: Adds up what lies at SP until it is 0, then exits with the sum's low byte.
_LISTENER = {
    "aarch64": (
        "e00340f9",  # 1: ldr x0, [sp]
        "2100008b",  #    add x1, x1, x0
        "c0ffffb5",  #    cbnz x0, 1b
        "e00301aa",  #    mov x0, x1
        "c80b80d2",  #    mov x8, #94 (exit_group)
        "010000d4",  #    svc #0
    ),
    "x86_64": (
        "488b0424",  # 1: mov (%rsp), %rax
        "4801c7",  #      add %rax, %rdi
        "4885c0",  #      test %rax, %rax
        "75f4",  #        jnz 1b
        "b8e7000000",  #  mov $231, %eax (exit_group)
        "0f05",  #        syscall
    ),
}
_SUM = {"aarch64": "x1", "x86_64": "rdi"}
_WORDS = tuple((i + 1) * 0x9E37_79B9_7F4A_7C15 & (1 << 64) - 1 for i in range(50))


def memory(case: Case, subject: Subject) -> Part:
    """The value of every write event lies in memory at the next instruction; then the host writes and the guest reads.

    Bytes that one instruction writes more than once count with their last value.
    """
    machine = Machine(subject.image, subject.rewrite.layout if subject.rewrite else None, LIMITS)
    written: dict[int, int] = {}  # address -> byte
    writes = 0
    problems: list[str] = []
    before = 0

    def wrote(address: int, size: int, value: int) -> None:
        nonlocal writes
        if machine.memory.find(address) is not None:  # else the write is the fault that ends the run
            writes += 1
            written.update(zip(count(address), (value & (1 << 8 * size) - 1).to_bytes(size, "little"), strict=False))

    def look(pc: int) -> None:
        nonlocal before
        for address, byte in written.items():
            real = machine.memory.read(address, 1)
            if real != bytes([byte]) and len(problems) < _MOST_PROBLEMS:
                place = subject.image.locate(before)
                problems.append(
                    f"{place} wrote {byte:#x} to {address:#x}, where the host reads {real.hex() or 'nothing'}"
                )
        written.clear()
        before = pc

    problems += case.wrong_result(subject, run_hooked(machine, look, wrote))
    heard, wrong = _listen(subject)
    problems += wrong
    if not writes or not heard:
        problems.append("nothing was written; this is a fault of the lab")
    return Part(
        {"guest writes": writes, "host writes": heard}, tuple(f"{case.title}: {problem}" for problem in problems)
    )


def _listen(subject: Subject) -> tuple[int, list[str]]:
    """(words the host wrote, what is wrong): a guest adds up what the host writes under it while it runs."""
    arch = subject.image.arch.name
    register = _SUM[arch]
    machine = Machine(subject.image, None, LIMITS)
    machine.write(subject.image.entry, bytes.fromhex("".join(_LISTENER[arch])))
    words = [*_WORDS, 0]
    said = iter(words)

    def speak(pc: int) -> None:
        if pc == subject.image.entry:
            machine.write(machine.initial_sp, next(said, 0).to_bytes(8, "little"))

    start = machine.registers()[register]
    outcome = run_hooked(machine, speak)
    got = (machine.registers()[register] - start) & (1 << 64) - 1
    expected = sum(words) & (1 << 64) - 1
    if got == expected and outcome.status == (start + expected) & 0xFF:
        return len(words), []
    return len(words), [f"the host wrote words with the sum {expected:#x}, the guest read {got:#x} ({outcome.result})"]
