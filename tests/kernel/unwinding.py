"""Unwinding by .eh_frame with the whole register set, as a debugger does it."""

from __future__ import annotations

from unicorn import arm64_const

from lab.images.image import Image
from lab.metadata.cfi import frames
from lab.metadata.cfi_entries import Fde, Frames
from lab.metadata.cfi_state import CfiState, How, Rule
from tests.kernel.running import Run

ELR = 33


_TABLES: dict[str, Frames] = {}


def tables(image: Image) -> Frames:
    """The .eh_frame of *image*, read once."""
    if image.sha256 not in _TABLES:
        section = image.section(".eh_frame")
        assert section is not None
        _TABLES[image.sha256] = frames(image.read(section.address, section.size), section.address, "test")
    return _TABLES[image.sha256]


def numbered(run: Run) -> dict[int, int]:
    """DWARF number -> value, of the registers now; on AArch64 with ELR_EL1."""
    registers = run.machine.registers()
    found = {number: registers[name] for number, name in enumerate(run.image.arch.gprs)}
    if run.image.arch.name == "aarch64":
        found[ELR] = run.machine.cpu.reg_read(arm64_const.UC_ARM64_REG_ELR_EL1)
    return found


def unwind(run: Run, pc: int) -> list[tuple[int, dict[int, int], bool]]:
    """(pc, registers, interrupted) of every frame, innermost first; ends where the return address is undefined or 0.
    AssertionError where no FDE covers a pc."""
    registers, exact = numbered(run), True
    trace = [(pc, registers, False)]
    while len(trace) < 200:
        fde = tables(run.image).at(pc if exact else pc - 1)
        assert fde is not None, f"no FDE for {run.image.locate(pc)}"
        state = tables(run.image).state(pc if exact else pc - 1)
        assert state is not None
        if state.undefined(fde.cie.return_column):
            return trace
        registers, pc = caller(run, fde, state, registers)
        if not pc:
            return trace
        exact = fde.signal
        trace.append((pc, registers, exact))
    raise AssertionError("the trace does not end")


def caller(run: Run, fde: Fde, state: CfiState, registers: dict[int, int]) -> tuple[dict[int, int], int]:
    """The caller's registers and pc."""
    assert state.cfa.register is not None, "no corpus code computes a CFA by an expression"
    cfa = registers[state.cfa.register] + state.cfa.offset
    older = dict(registers)
    older[31 if run.image.arch.name == "aarch64" else 7] = cfa
    for number, rule in state.registers.items():
        older[number] = value(run, rule, registers, cfa, number)
    column = fde.cie.return_column
    return older, older.get(column, registers.get(column, 0))


def value(run: Run, rule: Rule, registers: dict[int, int], cfa: int, number: int) -> int:
    """What *rule* says the caller's register was."""
    match rule.how:
        case How.OFFSET:
            return run.word(cfa + rule.value)
        case How.REGISTER:
            return registers[rule.value]
        case How.SAME:
            return registers[number]
        case _:
            raise AssertionError(f"{rule.how} is in none of these images")
