"""``registers``: the block of words that compiled code reads against the registers that unicorn's API gives."""

from __future__ import annotations

import ctypes

from lab.job import Subject
from lab.machine.cpu import register_ids
from lab.machine.machine import Machine
from lab.machine.registers import BatchRegisters, RegisterBlock
from lab.selftest.cases import LIMITS, Case
from lab.selftest.hooks import run_hooked
from lab.selftest.results import Part

MACHINES = 4
"""Made on each image: where unicorn puts the registers differs from one to the next."""
_MOST_PROBLEMS = 5
_READ = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int)


def registers(case: Case, subject: Subject) -> Part:
    """Round trips on several machines, then every instruction of a run."""
    machines = [_machine(subject) for _ in range(MACHINES)]
    blocks = [machine.register_block() for machine in machines]
    problems: list[str] = []
    trips = 0
    for machine, block in zip(machines, blocks, strict=True):
        trips += len(block.order)
        problems += _round_trip(machine, block)
    compared = 0
    last = machines[-1]
    read, block = last.register_file(blocks[-1].order).read, blocks[-1]

    def look(pc: int) -> None:
        nonlocal compared
        compared += 1
        ours, theirs = _words(block), read()
        if ours != theirs and len(problems) < _MOST_PROBLEMS:
            name, got, real = next(t for t in zip(block.order, ours, theirs, strict=True) if t[1] != t[2])
            problems.append(f"{name} at {subject.image.locate(pc)} is {real:#x}, by {block.how} {got:#x}")

    problems += case.wrong_result(subject, run_hooked(last, look))
    how = sorted({block.how for block in blocks})
    return Part(
        {"round trips": trips, "instructions": compared},
        tuple(f"{case.title}: {problem}" for problem in problems),
        (f"by {' and '.join(how)}",),
    )


def _machine(subject: Subject) -> Machine:
    return Machine(subject.image, subject.rewrite.layout if subject.rewrite else None, LIMITS)


def _words(block: RegisterBlock) -> list[int]:
    """The block's words, brought up to date as compiled code does it."""
    if block.batch is not None:
        _refresh(block.batch)
    return list((ctypes.c_uint64 * len(block.order)).from_address(block.address))


def _refresh(batch: BatchRegisters) -> None:
    _READ(batch.function)(batch.handle, batch.ids, batch.pointers, batch.count)


def _round_trip(machine: Machine, block: RegisterBlock) -> list[str]:
    """What is written through the API is in the block, and (by pointer) the other way round; the old values stay."""
    cpu, ids = machine.cpu, register_ids(machine.arch)
    wrong = []
    for index, name in enumerate(block.order):
        old = cpu.reg_read(ids[name])
        value = (index + 1) * 0x9E37_79B9_7F4A_7C15 & (1 << 64) - 1
        cpu.reg_write(ids[name], value)
        got = _words(block)[index]
        if got != value:
            wrong.append(f"{name} was set to {value:#x}, by {block.how} it is {got:#x}")
        elif block.batch is None:
            ctypes.c_uint64.from_address(block.address + 8 * index).value = ~value & (1 << 64) - 1
            back = cpu.reg_read(ids[name])
            if back != ~value & (1 << 64) - 1:
                wrong.append(f"{name} was set by pointer to {~value & (1 << 64) - 1:#x}, unicorn has {back:#x}")
        cpu.reg_write(ids[name], old)
    return wrong[:_MOST_PROBLEMS]
