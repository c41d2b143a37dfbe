"""Cells are what the verdict rows say: never 'holds' without a stop, never evidence that does not belong."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from lab.conformance.requirement import Requirement
from lab.conformance.table import ABSENT, HOLDS, OPEN, VIOLATED, Cell, Table
from lab.conformance.text import LEGEND, mark, markdown, text
from lab.store import Run, make_run
from lab.store.rows import RunResult, StackRow, VerdictRow
from tests.fake_run import PROVENANCE, cell_from, fake_result, stack_of, unsupported, verdict_rows

SAID = Requirement(id="RS-2-made", title="made up", demand="Nothing.", modes=("boundary",), rows=(12,))
CELL = ("aarch64", "clang", "tree", "base", "fp", "boundary")


def run_of(rows: list[VerdictRow], stacks: list[StackRow] | None = None, reason: str = "") -> Run:
    made = fake_result(
        arches=("aarch64",),
        proposals=("base",),
        unwinders=("fp",),
        workloads=("tree",),
        modes=("boundary",),
        functions=1,
    )
    cells = [unsupported(CELL, reason)] if reason else [cell_from(rows)]
    kept = [stack_of(row) for row in rows if row.verdict == "missing"] if stacks is None else stacks
    return make_run(RunResult(made.experiment, cells, rows, kept, [], made.images, made.compilers), PROVENANCE)


def rows_with(*verdicts: str) -> list[VerdictRow]:
    """One row a verdict, each at another pc, each of two stops."""
    made = verdict_rows(CELL, 1, len(verdicts))
    return [
        replace(row, verdict=verdict, reason="", doubt="", covers=verdict == "exact", stops=2, region="original")
        for row, verdict in zip(made, verdicts, strict=True)
    ]


def cell(rows: list[VerdictRow], said: Requirement = SAID) -> Cell:
    return Table([run_of(rows)], [said]).cell(said, "aarch64", "fp")


def test_it_holds_where_every_stop_is_right_or_refused() -> None:
    found = cell(rows_with("exact", "refused", "exact"))
    assert found.state == HOLDS
    assert not found.silent
    assert dataclasses.astuple(found.seen) == (6, 3, 1, 1)
    assert found.broken.stops == 0
    assert found.verdicts == {"exact": 4, "refused": 2, "missing": 0, "extra": 0, "crash": 0}
    assert mark(found) == "H"


def test_refusing_everything_is_marked() -> None:
    found = cell(rows_with("refused", "refused"))
    assert (found.state, found.silent, mark(found)) == (HOLDS, True, "h")


def test_one_wrong_stop_violates_it_and_is_shown() -> None:
    rows = rows_with("exact", "missing", "missing")
    found = cell(rows)
    assert (found.state, mark(found)) == (VIOLATED, "V")
    assert dataclasses.astuple(found.broken) == (4, 2, 1, 1)
    assert found.evidence is not None
    assert found.evidence.stop == 1
    assert found.evidence.location in {row.location for row in rows[1:]}
    assert found.evidence.explain == f"unwindlab explain {run_of(rows).run_id} 1 --unwinder fp"
    assert (found.workloads, found.broken_in) == (("tree",), ("tree",))


def test_what_meets_no_condition_is_not_exercised() -> None:
    found = cell(rows_with("exact", "missing"), replace(SAID, where={"offset_class": ("epilogue",)}))
    assert (found.state, found.seen.stops, mark(found)) == (OPEN, 0, ".")
    assert found.reason == "none of 4 stops meets its condition"


@pytest.mark.parametrize(
    ("breaks", "verdict", "state"),
    [
        (("missing",), "extra", HOLDS),
        (("extra",), "extra", VIOLATED),
        (("crash",), "crash", VIOLATED),
        (("crash",), "missing", HOLDS),
        (("uncovered",), "exact", HOLDS),
        (("uncovered",), "extra", VIOLATED),
        (("uncovered",), "missing", HOLDS),
    ],
)
def test_only_what_breaks_it_counts(breaks: tuple[str, ...], verdict: str, state: str) -> None:
    assert cell(rows_with("exact", verdict), replace(SAID, breaks=breaks)).state == state


def test_conditions_are_conjunctions_and_exceptions_are_alternatives() -> None:
    rows = [replace(row, function=f"f{i}") for i, row in enumerate(rows_with("exact", "missing", "missing"))]
    where = {"function": ("f*",), "region": ("original",)}
    assert cell(rows, replace(SAID, where=where)).broken.stops == 4
    assert cell(rows, replace(SAID, where=where, unless=({"function": ("f1",)},))).broken.stops == 2
    both = ({"function": ("f1",)}, {"function": ("f2",), "region": ("original",)})
    assert cell(rows, replace(SAID, where=where, unless=both)).state == HOLDS
    assert (
        cell(rows, replace(SAID, where=where, unless=({"function": ("f1",), "region": ("handler",)},))).broken.stops
        == 4
    )


def test_asking_for_answers() -> None:
    said = replace(SAID, answers=True)
    refused = [replace(row, doubt="needless") for row in rows_with("refused", "refused")]
    violated = cell(refused, said)
    assert (violated.state, violated.broken.stops) == (VIOLATED, 4)
    assert violated.evidence is not None
    assert violated.evidence.location == refused[0].location
    assert cell([*refused[:1], *rows_with("refused", "exact")[1:]], said).state == HOLDS
    assert cell(rows_with("refused", "refused"), said).state == OPEN


def test_evidence_is_left_out_where_it_might_be_another_stop() -> None:
    """At one pc two rows of one verdict differ in a dynamic feature that the condition asks for: a kept stack of that
    pc may be of either."""
    first = rows_with("missing")[0]
    rows = [replace(first, record_complete=True), replace(first, record_complete=False)]
    stacks = [stack_of(first)]
    said = replace(SAID, where={"record_complete": (False,)})
    table = Table([run_of(rows, stacks)], [said])
    found = table.cell(said, "aarch64", "fp")
    assert found.state == VIOLATED
    assert found.evidence is not None
    assert (found.evidence.stop, found.evidence.explain) == (None, "")
    assert Table([run_of(rows[1:], stacks)], [said]).cell(said, "aarch64", "fp").evidence != found.evidence


def test_what_could_not_be_run_is_not_applicable() -> None:
    table = Table([run_of([], [], reason="the moon is full")], [SAID])
    found = table.cell(SAID, "aarch64", "fp")
    assert (found.state, found.reason, mark(found)) == (ABSENT, "the moon is full", "-")


def test_what_does_not_exist_is_not_applicable() -> None:
    table = Table([run_of(rows_with("exact"))], [SAID])
    assert (
        table.cell(replace(SAID, arches=("x86_64",), elsewhere="no such thing"), "aarch64", "fp").reason
        == "no such thing"
    )
    assert table.cell(replace(SAID, metadata=True), "aarch64", "fp").reason == "it reads no metadata"
    shadow = table.cell(replace(SAID, shadow=True), "aarch64", "fp")
    assert (shadow.state, shadow.reason) == (ABSENT, "it reads no shadow stack of inserted code")
    assert table.cell(SAID, "aarch64", "orc").state == ABSENT
    assert table.cell(SAID, "aarch64", "dwarf").reason == "no run has this design"
    assert table.cell(replace(SAID, rows=(41,)), "aarch64", "fp").state == OPEN


def test_workloads_with_a_row_that_is_excluded_do_not_count() -> None:
    assert cell(rows_with("missing"), replace(SAID, without=(13,))).state == OPEN
    assert cell(rows_with("missing"), replace(SAID, without=(14,))).state == VIOLATED


def test_a_row_that_no_design_breaks_says_so() -> None:
    table = Table([run_of(rows_with("exact"))], [SAID])
    assert table.rows("aarch64")[0].undecided
    assert "RS-2-made~" in text(table, details=False)
    assert "No design breaks it" in text(table, details=True)
    assert not Table([run_of(rows_with("missing"))], [SAID]).rows("aarch64")[0].undecided


def test_text_and_markdown_show_every_cell() -> None:
    table = Table([run_of(rows_with("exact", "missing"))], [SAID])
    printed = text(table, details=True)
    assert printed.isascii()
    assert max(map(len, printed.splitlines())) <= 70
    assert "a fp" in printed
    assert all(line in printed for line in LEGEND)
    assert "fp: violated; at 2 stops (1 PC, 1 function, 1 image); 4 stops" in " ".join(printed.split())
    assert "| RS-2-made | made up | **V** |" in markdown(table)
