"""How a design depends on the pc, as read from its source: whatever is not plainly harmless counts as harmful."""

from __future__ import annotations

import pytest

from lab.engine.native.cells import Changed
from lab.engine.native.rows import NO_PC, reads, row_word, tracked_names
from lab.registry import all_unwinders, unwinder
from lab.unwind.api import (
    FRAME,
    Cursor,
    Mem,
    Regs,
    StepResult,
    Unwinder,
    after_call,
    rule,
    rule_word,
    where,
    where_offset,
)
from tests.engine.native.designs import DESIGNS

BY_ROW = ("dwarf", "dwarf-pc", "fp-validated", "fp-validated-call", "orc", "sframe", "sframe-v5", "sframe-v6")
WITHOUT = ("fp", "fp-reliable", "fp-x86", "fp-x86-reliable", "guess", "hw-shadow", "scs", "scs-fp")
KNOWN = dict.fromkeys(BY_ROW, 0) | dict.fromkeys(WITHOUT, NO_PC) | {"scs-lr": 1}
"""What was read by hand."""


def asks(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return where(mem, pc), where_offset(mem, pc), (fp, pc)


def looks_up(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return rule(mem, 0, pc), rule_word(mem, 0, rule(mem, 0, pc), 1), (fp, pc)


def asks_for_both(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return where(mem, pc), rule(mem, 0, pc), (fp, pc)


def as_table(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return rule(mem, pc, pc), 0, (fp, pc)


def of_call(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return int(after_call(mem, pc)), 0, (fp, pc)


def compares(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return where(mem, pc), pc & 1, (fp, pc)


def passes_on(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return where(mem, pc), 0, (pc, fp)


def shifted(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return where(mem, pc - 1), 0, (fp, pc)


def indexes(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    return where(mem, pc), cursor[1], (fp, pc)


def renames(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    other = cursor
    return where(mem, pc), 0, other


def assigns(mem: Mem, cursor: Cursor) -> StepResult:
    fp, pc = cursor
    pc = pc + 1
    return where(mem, pc), 0, (fp, pc)


def never(mem: Mem, cursor: Cursor) -> StepResult:
    return FRAME, 0, cursor


def plainly(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, pc


def either(mode: int, pc: int, regs: Regs) -> Cursor:
    if pc & 1:
        return regs.fp, 0
    return regs.fp, pc


def twice(mode: int, pc: int, regs: Regs) -> Cursor:
    return pc, pc


def through_regs(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, regs.pc


def by_number(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, regs[0]


def aliased(mode: int, pc: int, regs: Regs) -> Cursor:
    other = regs
    return regs.fp, other.pc


def without(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, regs.sp


def made(start: object, step: object) -> Unwinder:
    return Unwinder("made", "made", "made for tests", start, step)  # type: ignore[arg-type]


def test_the_built_in_designs() -> None:
    assert {u.name: row_word(u) for u in all_unwinders() if not u.oracle} == KNOWN


@pytest.mark.parametrize("step", [compares, as_table, of_call, passes_on, shifted, indexes, renames, assigns])
def test_a_step_that_uses_the_pc_otherwise(step: object) -> None:
    assert row_word(made(plainly, step)) is None


@pytest.mark.parametrize("start", [either, twice, through_regs, by_number, aliased])
def test_a_start_that_uses_the_pc_otherwise(start: object) -> None:
    assert row_word(made(start, asks)) is None


def test_what_is_harmless() -> None:
    assert row_word(made(plainly, asks)) == 1
    assert row_word(made(plainly, looks_up)) == 1
    assert row_word(made(without, never)) == NO_PC
    assert row_word(made(len, asks)) is None


def test_the_designs_made_for_tests() -> None:
    assert {d.name for d in DESIGNS if row_word(d) is None} == {"pc-masked", "pc-itself"}
    assert row_word(unwinder("scs")) == NO_PC


def both_fp(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, regs.fp


def chosen(mode: int, pc: int, regs: Regs) -> Cursor:
    if mode:
        return regs.fp, regs.sp
    return regs.sp, regs.fp


def added(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, regs.sp + 8


def early(mode: int, pc: int, regs: Regs) -> Cursor:
    high = regs.fp > 8
    return regs.fp, high


def repeated(mem: Mem, cursor: Cursor) -> StepResult:
    fp, fp = cursor  # noqa: PLW0128  it is what the test is about
    return FRAME, fp, cursor


def nested(mem: Mem, cursor: Cursor) -> StepResult:
    fp, (sp, lr) = cursor  # type: ignore[misc]
    return FRAME, fp, cursor


def plain(mem: Mem, cursor: Cursor) -> StepResult:
    fp, sp = cursor
    return FRAME, fp, cursor


def later(mem: Mem, cursor: Cursor) -> StepResult:
    status = FRAME
    fp, sp = cursor
    return status, fp, cursor


BOTH = Changed.FP | Changed.SP


def test_registers_that_are_tracked() -> None:
    """Their change matters only where the first step takes them from its cursor."""
    assert tracked_names(made(without, plain)) == {"fp": Changed.FP, "sp": Changed.SP, "cursor": BOTH}
    assert reads(made(without, plain)) == (BOTH | Changed.TRUTH, BOTH)
    assert tracked_names(made(added, plain)) == {"fp": Changed.FP, "cursor": Changed.FP}
    assert reads(made(added, plain))[0] == BOTH | Changed.TRUTH


@pytest.mark.parametrize(
    ("start", "step"),
    [(both_fp, plain), (chosen, plain), (early, plain), (without, repeated), (without, nested), (without, later)],
)
def test_registers_that_cannot_be_tracked(start: object, step: object) -> None:
    assert tracked_names(made(start, step)) == {}
    assert reads(made(start, step))[1] == 0


def test_who_uses_the_pc_in_some_way_depends_on_everything() -> None:
    assert reads(made(plainly, compares)) == (sum(Changed), 0)
    assert reads(made(plainly, asks))[0] == Changed.FP | Changed.TRUTH | Changed.ROW


def test_who_asks_for_one_kind_of_row_does_not_depend_on_the_other() -> None:
    assert reads(made(plainly, looks_up))[0] == Changed.FP | Changed.TRUTH | Changed.RULE
    assert reads(made(plainly, asks_for_both))[0] == Changed.FP | Changed.TRUTH | Changed.ROW | Changed.RULE
    assert reads(unwinder("scs-lr"))[0] & (Changed.ROW | Changed.RULE) == Changed.ROW
    assert reads(unwinder("dwarf"))[0] & (Changed.ROW | Changed.RULE) == Changed.RULE
