"""What an unwinder may look up is the same in both engines, addresses at 2^63 and above included, whatever changes."""

from __future__ import annotations

from collections import Counter

import pytest

from lab.machine.machine import Limits
from lab.unwind.api import (
    CALL,
    END,
    FRAME,
    Cursor,
    Mem,
    Regs,
    StepResult,
    Unwinder,
    after_call,
    is_text,
    rule,
    rule_word,
    stack_end,
    stack_of,
)
from tests.engine.native.agreement import assert_agree, case
from tests.engine.smashing import catalogue
from tests.support import ARCH_NAMES, compile_c

MIX = 0x9E37_79B9_7F4A_7C15
TOP = 1 << 63
LAST = (1 << 64) - 1
PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { volatile char room[4096]; room[x] = 1; return leaf(x) + leaf(x + 1); }
int test_main(void) { long n = 0; for (int i = 0; i < 9; i++) n += twice(i); return n == 0; }
"""


def from_registers(mode: int, pc: int, regs: Regs) -> Cursor:
    return pc, regs.sp, regs.fp, regs.lr, regs.hssp


def mixed(mem: Mem, h: int, at: int) -> int:
    """Everything that can be looked up about *at*, in one number."""
    row = rule(mem, 0, at)
    for field in range(11):
        h = (h ^ rule_word(mem, 0, row, field)) * MIX
    h = (h ^ row ^ rule(mem, 1, at) ^ rule(mem, 7, at) ^ rule_word(mem, 0, at, 0)) * MIX
    h = (h ^ stack_of(mem, at)) * MIX
    h = (h ^ stack_end(mem, at)) * MIX
    truths = (2 if is_text(mem, at) else 0) + (1 if after_call(mem, at) else 0)
    h = (h ^ truths) * MIX
    return h ^ (h >> 32)


def all_of_it(mem: Mem, cursor: Cursor) -> StepResult:
    """A refusal whose reason depends on all that can be looked up about what is in the registers."""
    pc, sp, fp, lr, hssp = cursor
    h = mixed(mem, mixed(mem, mixed(mem, 0, pc), pc + 4), sp)
    h = mixed(mem, mixed(mem, mixed(mem, h, lr), lr + TOP), sp + TOP)
    h = mixed(mem, mixed(mem, mixed(mem, h, fp - 1), LAST), hssp)
    return 3 + ((h >> 20) & 15), 0, cursor


def by_span(mode: int, pc: int, regs: Regs) -> Cursor:
    return pc, regs.fp


def row_alone(mem: Mem, cursor: Cursor) -> StepResult:
    """A refusal that depends on the row alone: memoised within a span of code."""
    pc, fp = cursor
    row = rule(mem, 0, pc)
    h = (row ^ (rule_word(mem, 0, row, 2) * MIX)) * MIX
    return 3 + ((h >> 20) & 15), 0, cursor


def calls_alone(mem: Mem, cursor: Cursor) -> StepResult:
    """The pc and the address after it are looked at, and nothing that changes at every stop."""
    pc, fp = cursor
    return (END if after_call(mem, pc + 4) or after_call(mem, pc + 5) else 3), 0, cursor


def design(name: str, start: object, step: object) -> Unwinder:
    return Unwinder(name, name, "a test", start, step, tables=(0,), hardware=True)  # type: ignore[arg-type]


DESIGNS = (
    design("all", from_registers, all_of_it),
    design("row", by_span, row_alone),
    design("calls", by_span, calls_alone),
)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_both_engines_find_the_same(arch: str) -> None:
    execution = assert_agree(case(compile_c(arch, PROGRAM), DESIGNS, stacks=0))
    reasons = Counter((t.unwinder, t.judgement.reason) for t in execution.tallies)
    assert len({reason for unwinder, reason in reasons if unwinder == 0}) > 12
    assert len({reason for unwinder, reason in reasons if unwinder == 1}) > 5
    assert {reason for unwinder, reason in reasons if unwinder == 2} == {"", "fp_unaligned"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("name", ["self-modifying", "stack-moves"])
def test_where_calls_end_changes_with_the_code(arch: str, name: str) -> None:
    program = next(p for p in catalogue() if (p.arch, p.name) == (arch, name))
    execution = assert_agree(case(program.make(), DESIGNS, limits=Limits(700, 120), stacks=0), status=None)
    assert execution.instructions


def one_up(mem: Mem, cursor: Cursor) -> StepResult:
    pc, fp = cursor
    return FRAME, pc, (pc + 1, fp)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_cap_ends_a_walk(arch: str) -> None:
    """After as many return addresses as it allows, in whatever way is wanted."""
    capped = [
        Unwinder(f"cap{cap}", "capped", "a test", by_span, one_up, cap=cap, cap_status=status)
        for cap, status in ((1, END), (7, 22), (99, END))
    ]
    execution = assert_agree(case(compile_c(arch, PROGRAM), capped, stacks=200, limits=Limits(120, 60)), status=None)
    lengths = {(kept.unwinder, len(kept.reported)) for kept in execution.stacks}
    assert lengths == {(0, 1), (1, 7), (2, 99)}
    said = {(t.unwinder, t.judgement.reason) for t in execution.tallies if t.mode == CALL}
    assert said == {(0, ""), (1, "too_many"), (2, "")}
