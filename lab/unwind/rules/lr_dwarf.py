"""lr-dwarf: refuses where the unwind table says that the interrupted function's return address is in LR.

Equation, at a ``boundary`` stop, with row = rule(DWARF, pc)::

    no row, or one that cannot be followed    refused: nothing is known
    ra = LR                                   refused: leaf, prologue or epilogue
    ra = [CFA + n], outermost                 passed

It believes the table, which says where the return address may be found, not whether a frame record holds it too.

Source: Documentation/livepatch/reliable-stacktrace.rst 4.6 (Linux v6.13); DWARF 5 section 6.4.
"""

from __future__ import annotations

from lab.metadata.rules import Field, Format, Kind, RaPlace
from lab.unwind.api import BOUNDARY, GOES_ON, Cursor, Mem, Reason, Regs, rule, rule_word
from lab.unwind.rules.api import Rule


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(1 while the table is to be asked, pc)."""
    return (1 if mode == BOUNDARY else 0), pc


def before(mem: Mem, words: Cursor) -> tuple[int, Cursor]:
    """Asks the table once."""
    ask, pc = words
    if not ask:
        return 0, (0, 0)
    row = rule(mem, Format.DWARF, pc)
    if row == 0:
        return Reason.NO_ROW | GOES_ON, (0, 0)
    kind = rule_word(mem, Format.DWARF, row, Field.KIND)
    if kind == Kind.NORMAL and rule_word(mem, Format.DWARF, row, Field.RA_PLACE) == RaPlace.LR:
        return Reason.LR_MAY_BE_LIVE | GOES_ON, (0, 0)
    if kind not in (Kind.NORMAL, Kind.END):
        return Reason.UNSUPPORTED_RULE | GOES_ON, (0, 0)
    return 0, (0, 0)


RULE = Rule(
    "lr-dwarf",
    "not where LR may be live, by DWARF",
    "reliable-stacktrace.rst 4.6",
    begin,
    before,
    arches=frozenset({"aarch64"}),
    tables=(Format.DWARF,),
)
