"""Call-frame instructions, interpreted: how to find the caller's frame before each instruction.

Sources: DWARF 5 sections 6.4.2, 6.4.3 and 7.24 (instructions and their encoding); AADWARF64 2023Q3
(DW_CFA_AARCH64_negate_ra_state, register 34); LSB Core 5.0 section 10.6 (GNU_args_size,
GNU_negative_offset_extended); for what they leave open, GCC's libgcc/unwind-dw2.c (execute_cfa_program):
remember_state saves the CFA rule and the signing state too, but not the arguments' size.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lab.metadata.cfi_reader import Reader

_MOST_REGISTERS = 256  # psABI numbers end below 140 on both architectures
_MOST_REMEMBERED = 64
_MOST_ROWS = 1 << 14


class How(enum.Enum):
    """The kinds of register rule (DWARF 5 section 6.4.1)."""

    UNDEFINED = "undefined"  # no recoverable value
    SAME = "same"  # not changed by this frame
    OFFSET = "offset"  # saved at CFA + value
    VAL_OFFSET = "val_offset"  # the value is CFA + value
    REGISTER = "register"  # in register number value
    EXPRESSION = "expression"  # saved at the address the expression gives
    VAL_EXPRESSION = "val_expression"  # the value is what the expression gives


class Rule(NamedTuple):
    """How to recover one register.  ``value``: bytes, or a register number; ``expression``: its DWARF code."""

    how: How
    value: int = 0
    expression: bytes = b""


class Cfa(NamedTuple):
    """The canonical frame address: register + offset (bytes), or what ``expression`` gives where it is not None.
    ``register`` None: no rule yet."""

    register: int | None
    offset: int = 0
    expression: bytes | None = None


@dataclass(frozen=True, slots=True)
class CfiState:
    """One row: the CFA and the rule of each register that has one (DWARF register numbers).

    ``signed``: the return address carries a pointer authentication code (AArch64); ``args_size``: bytes of
    outgoing arguments on the stack that a landing pad must remove."""

    cfa: Cfa
    registers: Mapping[int, Rule]
    signed: bool = False
    args_size: int = 0

    def undefined(self, register: int) -> bool:
        """*register* has no recoverable value here (for the return address: nobody to return to)."""
        rule = self.registers.get(register)
        return rule is not None and rule.how is How.UNDEFINED


class StateRow(NamedTuple):
    """The ``state`` before each instruction in [start, end)."""

    start: int
    end: int
    state: CfiState


class Program:
    """Call-frame instructions in ``code``; the factors of their operands, and ``encoding`` of DW_CFA_set_loc's."""

    __slots__ = ("code", "code_align", "data_align", "encoding")

    def __init__(self, code: Reader, code_align: int, data_align: int, encoding: int) -> None:
        self.code, self.code_align, self.data_align, self.encoding = code, code_align, data_align, encoding

    def part(self, at: int, end: int) -> Program:
        """The instructions at [at, end) of the same section, with the same factors."""
        return Program(self.code.part(at, end), self.code_align, self.data_align, self.encoding)

    def initial(self) -> CfiState:
        """The state after all instructions, from nothing: those of a CIE."""
        machine = _Machine(self, 0, CfiState(Cfa(None), {}))
        for _ in machine.run():
            raise self.code.fail("a CIE advances the location")
        return machine.state()

    def state_at(self, start: int, address: int, initial: CfiState) -> CfiState:
        """The state before *address* of code that starts at *start*."""
        machine = _Machine(self, start, initial)
        for location in machine.run():
            if location > address:
                break
        return machine.state()

    def rows(self, start: int, end: int, initial: CfiState) -> list[StateRow]:
        """The rows of the code [start, end)."""
        machine = _Machine(self, start, initial)
        found: list[StateRow] = []
        begin = start

        def close(stop: int) -> None:
            nonlocal begin
            if stop <= begin:
                return
            state = machine.state()
            if found and found[-1].state == state:
                found[-1] = StateRow(found[-1].start, stop, state)
            else:
                found.append(StateRow(begin, stop, state))
            begin = stop

        for location in machine.run():
            close(min(location, end))
            if len(found) > _MOST_ROWS:
                raise self.code.fail(f"more than {_MOST_ROWS} rows")
        close(end)
        return found

    def locations(self) -> Iterator[tuple[int, int]]:
        """(offset in the section of the operand, an encoded pointer; its value) of every DW_CFA_set_loc."""
        machine = _Machine(self, 0, CfiState(Cfa(0), {}))
        machine.relaxed = True
        for target in machine.run():
            if machine.set_loc_at:
                yield machine.set_loc_at, target


class _Machine:
    """The interpreter's registers.  ``run`` stops before the location moves on, so that the state seen is the one
    that holds up to the new location."""

    def __init__(self, program: Program, start: int, initial: CfiState) -> None:
        self.code = program.code.part(program.code.at, program.code.end)
        self.code_align, self.data_align, self.encoding = program.code_align, program.data_align, program.encoding
        self.location = start
        self.initial = initial
        self.cfa, self.registers = initial.cfa, initial.registers
        self.signed, self.args_size = initial.signed, initial.args_size
        self.remembered: list[tuple[Cfa, Mapping[int, Rule], bool]] = []
        self.relaxed = False
        self.set_loc_at = 0

    def state(self) -> CfiState:
        """The state now."""
        return CfiState(self.cfa, self.registers, self.signed, self.args_size)

    def put(self, register: int, rule: Rule) -> None:
        """A new rule.  Mappings once given away never change: rows share them."""
        self.registers = {**self.registers, register: rule}

    def run(self) -> Iterator[int]:
        """Execute to the end; each new location, before it is moved to."""
        code, data, end = self.code, self.code.data, self.code.end
        while code.at < end:
            opcode = data[code.at]
            code.at += 1
            high, low = opcode & 0xC0, opcode & 0x3F
            if high == 0x80:  # DW_CFA_offset
                self.put(low, Rule(How.OFFSET, code.uleb() * self.data_align))
            elif high == 0x40:  # DW_CFA_advance_loc
                target = self.location + low * self.code_align
                yield target
                self.location = target
            elif high == 0xC0:  # DW_CFA_restore
                self.restore(low)
            elif opcode == 0:  # DW_CFA_nop
                continue
            elif opcode <= 4:
                target = self.target(opcode)
                yield target
                self.location, self.set_loc_at = target, 0
            else:
                action = _ACTIONS.get(opcode)
                if action is None:
                    raise code.fail(f"unknown call-frame opcode {opcode:#x}", code.at - 1)
                action(self)

    def target(self, opcode: int) -> int:
        """Where DW_CFA_set_loc or DW_CFA_advance_loc1, 2 or 4 lead."""
        if opcode > 1:
            return self.location + self.code.unsigned(1 << opcode - 2) * self.code_align
        self.set_loc_at = self.code.at
        target = self.code.pointer(self.encoding)
        if target < self.location and not self.relaxed:
            raise self.code.fail("DW_CFA_set_loc goes backwards")
        return target

    def register(self) -> int:
        """An operand that names a register."""
        number = self.code.uleb()
        if number >= _MOST_REGISTERS:
            raise self.code.fail(f"register number {number} exists on no architecture")
        return number

    def block(self) -> bytes:
        """An operand that is a DWARF expression."""
        return self.code.take(self.code.uleb())

    def restore(self, register: int) -> None:
        """The rule *register* had on entry."""
        rule = self.initial.registers.get(register)
        if rule is None:
            self.registers = {other: kept for other, kept in self.registers.items() if other != register}
        else:
            self.put(register, rule)

    def based(self, *, register: int | None = None, offset: int | None = None) -> None:
        """Change one half of a CFA rule of the form register + offset."""
        if self.cfa.expression is not None or self.cfa.register is None:
            if not self.relaxed:
                raise self.code.fail("a CFA register or offset without the other")
            self.cfa = Cfa(0)
        old = self.cfa
        self.cfa = Cfa(old.register if register is None else register, old.offset if offset is None else offset)

    def remember(self) -> None:
        """DW_CFA_remember_state."""
        if len(self.remembered) >= _MOST_REMEMBERED:
            raise self.code.fail(f"more than {_MOST_REMEMBERED} remembered states")
        self.remembered.append((self.cfa, self.registers, self.signed))

    def recall(self) -> None:
        """DW_CFA_restore_state."""
        if not self.remembered:
            raise self.code.fail("DW_CFA_restore_state without a remembered state")
        self.cfa, self.registers, self.signed = self.remembered.pop()

    def rule(self, how: How, operand: Callable[[], int]) -> None:
        """``register operand`` instructions."""
        register = self.register()
        self.put(register, Rule(how, operand()))

    def scaled(self) -> int:
        """An unsigned factored offset, in bytes."""
        return self.code.uleb() * self.data_align

    def scaled_signed(self) -> int:
        """A signed factored offset, in bytes."""
        return self.code.sleb() * self.data_align

    def computed(self, how: How) -> None:
        """``register expression`` instructions."""
        register = self.register()
        self.put(register, Rule(how, 0, self.block()))

    def negate(self) -> None:
        """DW_CFA_AARCH64_negate_ra_state."""
        self.signed = not self.signed

    def arguments(self) -> None:
        """DW_CFA_GNU_args_size."""
        self.args_size = self.code.uleb()


def _plain(m: _Machine, how: How) -> None:
    m.put(m.register(), Rule(how))


def _define(m: _Machine, offset: Callable[[], int]) -> None:
    register = m.register()
    m.cfa = Cfa(register, offset())


#: DW_CFA_* by number, those with their operand in the opcode and those that move the location apart.
_ACTIONS: dict[int, Callable[[_Machine], None]] = {
    0x05: lambda m: m.rule(How.OFFSET, m.scaled),  # offset_extended
    0x06: lambda m: m.restore(m.register()),  # restore_extended
    0x07: lambda m: _plain(m, How.UNDEFINED),  # undefined
    0x08: lambda m: _plain(m, How.SAME),  # same_value
    0x09: lambda m: m.rule(How.REGISTER, m.register),  # register
    0x0A: _Machine.remember,  # remember_state
    0x0B: _Machine.recall,  # restore_state
    0x0C: lambda m: _define(m, m.code.uleb),  # def_cfa
    0x0D: lambda m: m.based(register=m.register()),  # def_cfa_register
    0x0E: lambda m: m.based(offset=m.code.uleb()),  # def_cfa_offset
    0x0F: lambda m: setattr(m, "cfa", Cfa(None, 0, m.block())),  # def_cfa_expression
    0x10: lambda m: m.computed(How.EXPRESSION),  # expression
    0x11: lambda m: m.rule(How.OFFSET, m.scaled_signed),  # offset_extended_sf
    0x12: lambda m: _define(m, m.scaled_signed),  # def_cfa_sf
    0x13: lambda m: m.based(offset=m.scaled_signed()),  # def_cfa_offset_sf
    0x14: lambda m: m.rule(How.VAL_OFFSET, m.scaled),  # val_offset
    0x15: lambda m: m.rule(How.VAL_OFFSET, m.scaled_signed),  # val_offset_sf
    0x16: lambda m: m.computed(How.VAL_EXPRESSION),  # val_expression
    0x2D: _Machine.negate,  # AARCH64_negate_ra_state
    0x2E: _Machine.arguments,  # GNU_args_size
    0x2F: lambda m: m.rule(How.OFFSET, lambda: -m.scaled()),  # GNU_negative_offset_extended
}
