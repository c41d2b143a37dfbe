"""A user's own unwinder by metadata: one file, with the names of the tables' words."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import registry
from lab.errors import InputError
from lab.unwind.api import BOUNDARY
from tests.support import compile_c, execute

FILE = '''"""Refuses where DWARF has the return address in LR; else says nothing."""
from lab.metadata.rules import Field, Format, RaPlace
from lab.unwind.api import END, Reason, Unwinder, rule, rule_word


def start(mode, pc, regs):
    return (pc,)


def step(mem, cursor):
    row = rule(mem, Format.DWARF, cursor[0])
    if row == 0 or rule_word(mem, Format.DWARF, row, Field.RA_PLACE) == RaPlace.LR:
        return Reason.LR_MAY_BE_LIVE, 0, cursor
    return END, 0, cursor


UNWINDER = Unwinder("by-table", "DWARF asked once", "an example", start, step, tables=(Format.DWARF,))
'''
LEAF = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
int test_main(void) { return leaf(1) + leaf(2) != 11; }
"""


def test_a_file_may_use_the_words_of_the_rule_tables(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    (mine,) = registry.add_file(tmp_path / "mine.py").unwinders
    image = compile_c("aarch64", LEAF)
    said = execute(image, mine)
    refused = {image.locate(t.pc).split("+")[0] for t in said.tallies if t.mode == BOUNDARY and t.judgement.reason}
    assert "leaf" in refused
    assert {t.judgement.reason for t in said.tallies if image.locate(t.pc).startswith("leaf+")} == {"lr_may_be_live"}


def test_what_a_file_may_import_is_said_where_it_imports_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from lab.metadata.tables import read_tables\n")
    with pytest.raises(
        InputError, match=r"mine.py:1: 'lab.metadata.tables.read_tables' .* lab.metadata.rules, "
    ) as said:
        registry.add_file(tmp_path / "mine.py")
    assert len(said.value.lines) == 1
