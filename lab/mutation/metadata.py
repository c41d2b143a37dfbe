"""Mutants of unwind information: rows of the rule tables, as unwinders see them; the program is what it was.

One mutant changes the same place of the code alike in every format that has a row there, so that designs which read
different formats are asked about the same fault.  Candidates are rows in functions that are executed.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from lab.metadata.rules import CfaBase, Format, FpPlace, Kind, RaPlace, Row, Rule, RuleTable
from lab.mutation.api import At, LookedUp, Mutated, Ranges, no_such, sample
from lab.mutation.ground import Ground

KIND = "metadata"
_BASES = {CfaBase.SP: CfaBase.FP, CfaBase.FP: CfaBase.SP}

Edit = Callable[[Ground, RuleTable, At], RuleTable | None]
"""The table after the mutation; None where it does not apply to it."""


def changed(before: RuleTable, after: RuleTable) -> Ranges:
    """Where the two say different things, as ranges of addresses in order."""
    edges = sorted({edge for table in (before, after) for row in table.rows for edge in row[:2]})
    differ = [(low, high) for low, high in pairwise(edges) if before.at(low) != after.at(low)]
    joined: list[tuple[int, int]] = []
    for low, high in differ:
        if joined and joined[-1][1] == low:
            joined[-1] = joined[-1][0], high
        else:
            joined.append((low, high))
    return tuple(joined)


def _index(table: RuleTable, address: int) -> int | None:
    """The index of the row that holds *address*."""
    number = table.number(address)
    return number - 1 if number else None


def _with(table: RuleTable, first: int, count: int, rows: Sequence[Row]) -> RuleTable:
    """*table* with *count* rows from index *first* on replaced."""
    kept = table.rows
    return replace(table, rows=(*kept[:first], *rows, *kept[first + count :]))


def dropped(_ground: Ground, table: RuleTable, at: At) -> RuleTable | None:
    """The row is gone."""
    index = _index(table, at[0])
    return None if index is None else _with(table, index, 1, ())


def shifted(ground: Ground, table: RuleTable, at: At) -> RuleTable | None:
    """The row begins one instruction later (at[1] = 1) or earlier (-1): the row before it ends there.  A row of one
    instruction, or one before it, is swallowed."""
    index = _index(table, at[0])
    if not index or table.rows[index].start != at[0] or table.rows[index - 1].end != at[0]:
        return None
    before, row = table.rows[index - 1 : index + 1]
    edge = _neighbour(ground, at[0], at[1])
    if before.rule == row.rule or edge is None or not before.start <= edge <= row.end:
        return None
    moved = (before._replace(end=edge), row._replace(start=edge))
    return _with(table, index - 1, 2, [each for each in moved if each.start < each.end])


def _neighbour(ground: Ground, address: int, direction: int) -> int | None:
    """The executed instruction after (1) or before (-1) the one at *address*, where it touches it."""
    insns = ground.instructions
    index = bisect.bisect_left(insns, address, key=lambda insn: insn.address)
    if index >= len(insns) or insns[index].address != address:
        return None
    if direction > 0:
        return insns[index].end
    return insns[index - 1].address if index and insns[index - 1].end == address else None


def swapped(_ground: Ground, table: RuleTable, at: At) -> RuleTable | None:
    """The row that begins there and the one that it follows without a gap have each other's rule."""
    index = _index(table, at[0])
    if not index or table.rows[index].start != at[0] or table.rows[index - 1].end != at[0]:
        return None
    before, row = table.rows[index - 1 : index + 1]
    if before.rule == row.rule:
        return None
    return _with(table, index - 1, 2, (before._replace(rule=row.rule), row._replace(rule=before.rule)))


def _ruled(table: RuleTable, address: int, edit: Callable[[Rule], Rule | None]) -> RuleTable | None:
    """*table* with the rule of the row that holds *address* edited, where that is a normal one."""
    index = _index(table, address)
    if index is None or table.rows[index].rule.kind != Kind.NORMAL:
        return None
    row = table.rows[index]
    rule = edit(row.rule)
    return None if rule is None or rule == row.rule else _with(table, index, 1, (row._replace(rule=rule),))


def offset(_ground: Ground, table: RuleTable, at: At) -> RuleTable | None:
    """The CFA is at[1] bytes off.  What lies relative to the CFA is off with it."""
    return _ruled(table, at[0], lambda rule: rule._replace(cfa_offset=rule.cfa_offset + at[1]))


def base(_ground: Ground, table: RuleTable, at: At) -> RuleTable | None:
    """The CFA is based on FP in the place of SP, or the other way round, with the same offset."""
    return _ruled(
        table,
        at[0],
        lambda rule: rule._replace(cfa_base=_BASES[CfaBase(rule.cfa_base)]) if rule.cfa_base in tuple(_BASES) else None,
    )


def slot(_ground: Ground, table: RuleTable, at: At) -> RuleTable | None:
    """The return address is said to lie at[1] bytes beside its slot."""
    return _ruled(
        table,
        at[0],
        lambda rule: rule._replace(ra_offset=rule.ra_offset + at[1]) if rule.ra_place == RaPlace.CFA else None,
    )


def unsaved(_ground: Ground, table: RuleTable, at: At) -> RuleTable | None:
    """What the function has saved is said to be where it was: FP unchanged, and the return address in LR where the
    architecture has one."""

    def forget(rule: Rule) -> Rule | None:
        has_lr = _ground.arch.lr is not None
        place = RaPlace.LR if has_lr and rule.ra_place == RaPlace.CFA else rule.ra_place
        return rule._replace(fp_place=FpPlace.SAME, fp_offset=0, ra_place=place, ra_offset=rule.ra_offset)

    return _ruled(table, at[0], forget)


@dataclass(frozen=True)
class RowOperator:
    """``choices``: the second number of a mutant, where it has one.  The first is an address: a row's start in the
    DWARF table."""

    name: str
    bug: str
    edit: Edit
    choices: tuple[int, ...] = ()

    def candidates(self, ground: Ground) -> list[At]:
        """Every mutant of the image, by address."""
        table = ground.tables[Format.DWARF]
        starts = [row.start for row in table.rows if _runs(ground, row)]
        every = [(start, choice) for start in starts for choice in self.choices] if self.choices else list(zip(starts))
        return [at for at in every if self.edit(ground, table, at) is not None]

    def draw(self, ground: Ground, chance: random.Random, count: int) -> Sequence[At]:
        """See ``Operator``."""
        return sample(self.candidates(ground), chance, count)

    def apply(self, ground: Ground, at: At) -> Mutated:
        """See ``Operator``."""
        if len(at) != (2 if self.choices else 1):
            raise no_such(ground, at)
        rows = [(table, self.edit(ground, table, at)) for table in ground.tables.values()]
        edited = [(old, new) for old, new in rows if new is not None]
        places = tuple((int(old.kind), changed(old, new)) for old, new in edited)
        if not any(ranges for _, ranges in places):
            raise no_such(ground, at)
        formats = ", ".join(Format(kind).name for kind, ranges in places if ranges)
        by = f" by {at[1]:+d}" if self.choices else ""
        what = f"{self.name}{by}: the row at {ground.image.locate(at[0])} in {formats}"
        function = ground.function(at[0])
        return Mutated(ground.image, LookedUp(places), function, what, rows=tuple(new for _, new in edited))


def _runs(ground: Ground, row: Row) -> bool:
    """Whether the row's function is executed, its first instruction at least: a row that only waits for a call is
    worth mutating too."""
    function = ground.image.function_at(row.start)
    return function is not None and function.name in ground.functions


OPERATORS = (
    RowOperator("row-dropped", "a directive forgotten in assembly, a table cut short", dropped),
    RowOperator("row-shifted", "a directive one instruction too early or too late", shifted, (-1, 1)),
    RowOperator("rows-swapped", "a table whose sort lost a pair", swapped),
    RowOperator("cfa-offset", "a frame size changed without its directive", offset, (-16, -8, 8, 16)),
    RowOperator("cfa-base", "a forgotten change of the CFA's register", base),
    RowOperator("ra-slot", "a wrong offset of the saved return address", slot, (-8, 8)),
    RowOperator("saves-lost", "a forgotten .cfi_offset or .cfi_rel_offset", unsaved),
)
