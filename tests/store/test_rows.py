"""Rows and their tables: contradictions cannot be made, and whatever fits is read back as it was."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.errors import EngineError
from lab.experiment import Experiment
from lab.store import Cell, StackRow, VerdictRow
from lab.store.tables import read_table, write_table
from tests.fake_run import cell_from, fake_run, unsupported, verdict_rows

SMALL: dict[str, Any] = {"arches": ("aarch64",), "workloads": ("w",), "functions": 2, "insns": 16}
KEY = ("aarch64", "clang", "w", "plain", "fp", "boundary")


def test_a_cell_that_contradicts_itself_cannot_be_made() -> None:
    cell = cell_from(verdict_rows(KEY, 2, 16))
    for wrong in (
        {"stops": cell.stops + 1},
        {"covers": cell.stops + 1},
        {"verdicts": {"exact": cell.stops}},
        {"unsupported": "no"},
        {"doubt": {"needless": cell.stops + 1}},
        {"by_region": {"original": {"exact": 1}}},
        {"pcs": -1},
    ):
        with pytest.raises(EngineError, match="cell aarch64/clang/w/plain/fp/boundary"):
            dataclasses.replace(cell, **wrong)
    assert unsupported(KEY, "why").stops == 0


def test_a_result_needs_verdict_rows_for_its_cells() -> None:
    result = fake_run(**SMALL).result
    with pytest.raises(EngineError, match="do not sum to its stops"):
        dataclasses.replace(result, verdicts=result.verdicts[1:])
    with pytest.raises(EngineError, match="no such cell"):
        dataclasses.replace(result, cells=result.cells[1:])


def test_rows_travel_between_processes() -> None:
    row = verdict_rows(KEY, 1, 16)[0]
    assert pickle.loads(pickle.dumps(row)) == row


ADDRESS = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
MAYBE = st.none() | st.booleans()
VERDICT = st.builds(
    VerdictRow, arch=st.just("a b/.."), compiler=TEXT, workload=TEXT, proposal=TEXT, unwinder=TEXT, mode=TEXT,
    pc=ADDRESS, location=TEXT, function=TEXT, region=TEXT, verdict=TEXT, reason=TEXT, doubt=TEXT, covers=st.booleans(),
    stops=st.integers(0, 2**63 - 1), offset_class=TEXT, insn_class=TEXT, lr_live=MAYBE,
    sp_delta=st.none() | st.integers(-(2**63), 2**63 - 1), record_complete=MAYBE, shadow_pushed=MAYBE, row_kind=TEXT,
    fp_matches_row=MAYBE,
)  # fmt: skip
STACK = st.builds(
    StackRow, arch=TEXT, compiler=TEXT, workload=TEXT, proposal=TEXT, unwinder=TEXT, mode=TEXT, pc=ADDRESS,
    location=TEXT, verdict=TEXT, reason=TEXT, stop=st.integers(0, 2**63 - 1), truth=st.lists(ADDRESS),
    reported=st.lists(ADDRESS), truth_text=st.lists(TEXT), reported_text=st.lists(TEXT),
    registers=st.dictionaries(TEXT, ADDRESS),
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(VERDICT, max_size=5), st.lists(STACK, max_size=3))
def test_any_rows_survive_the_tables(tmp_path: Path, verdicts: list[VerdictRow], stacks: list[StackRow]) -> None:
    write_table(tmp_path / "v", VerdictRow, verdicts, omit=frozenset({"arch"}))
    write_table(tmp_path / "s", StackRow, stacks)
    again = read_table(tmp_path / "v", VerdictRow, {"arch": "a b/.."})
    assert sorted(map(repr, again)) == sorted(map(repr, verdicts))
    assert sorted(map(repr, read_table(tmp_path / "s", StackRow))) == sorted(map(repr, stacks))


def test_an_address_outside_64_bits_is_an_engine_error(tmp_path: Path) -> None:
    row = dataclasses.replace(verdict_rows(KEY, 1, 16)[0], pc=2**64)
    with pytest.raises(EngineError, match="VerdictRow does not fit"):
        write_table(tmp_path / "v", VerdictRow, [row])


def test_cost_per_call_is_exact() -> None:
    row = fake_run(**SMALL).result.costs[0]
    assert row.insn_per_call is not None
    assert row.insn_per_call * row.calls == row.instructions - row.base_instructions
    assert dataclasses.replace(row, calls=0).loads_per_call is None


def test_experiment_defaults_are_everything() -> None:
    assert Experiment().workloads == []
    assert isinstance(fake_run(**SMALL).result.cells[0], Cell)
