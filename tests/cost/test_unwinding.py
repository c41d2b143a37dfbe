"""What walks read, against walks that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.cost.unwind_text import render
from lab.cost.unwinding import UnwindRow, lookup_bytes, unwind_costs
from lab.errors import InputError
from lab.metadata.rules import Format, Kind, Row, Rule, RuleTable
from tests.cost.measuring import job


def rows(arch: str, proposal: str, *unwinders: str) -> dict[str, UnwindRow]:
    return {row.unwinder: row for row in unwind_costs(job(arch, "deep", proposal), unwinders)}


def test_a_frame_is_two_words_and_a_shadow_entry_one() -> None:
    found = rows("x86_64", "base", "fp-x86", "hw-shadow", "orc")
    for row in found.values():
        assert row.walks == row.complete > 0 and row.steps == row.frames + row.walks
    assert found["fp-x86"].reads == 2 * found["fp-x86"].frames and found["fp-x86"].lookups == 0
    assert found["hw-shadow"].reads == found["hw-shadow"].frames
    assert found["orc"].lookups == found["orc"].frames + found["orc"].walks  # one more finds the end
    assert found["orc"].table_bytes > 0


def test_a_look_up_is_a_search_and_an_entry() -> None:
    rule = Rule(Kind.NORMAL)
    table = RuleTable(Format.ORC, tuple(Row(8 * n, 8 * n + 8, rule) for n in range(7)), size=100)
    assert lookup_bytes(table, 0) == 3 * 4 and lookup_bytes(table, 5) == 3 * 4 + 6
    sframe = replace(table, kind=Format.SFRAME, size=28 + 2 * 20 + 7 * 4, units=(0, 32))
    assert lookup_bytes(sframe, 1) == 2 * 4 + 20 + 4  # the first row of the first function
    assert lookup_bytes(sframe, 7) == 2 * 4 + 20 + 3 * 4  # the third of the second
    dwarf = replace(table, kind=Format.DWARF, size=96, units=(0, 32))
    assert lookup_bytes(dwarf, 3) == 2 * 4 + 2 * 48


def test_the_table_fits_a_mail_and_says_what_it_is_not() -> None:
    row = UnwindRow("aarch64", "smash", "base", "fp", 2, 1, 4, 6, 8, 3, 0, 0)
    text = render([row, replace(row, unwinder="none", frames=0, complete=0)], "call")
    assert "2.00" in text and "50.00%" in text and "n/a" in text
    assert "no kernel's speed" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 70


def test_a_pair_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="signing"):
        unwind_costs(job("x86_64", "smash", "pac"), ())
