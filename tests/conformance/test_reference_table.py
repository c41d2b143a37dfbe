"""The table of the committed run: recounted another way, shown in the documents, and printed by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.cli import cli
from lab.conformance.requirements import REQUIREMENTS
from lab.conformance.table import ABSENT, HOLDS, OPEN, VIOLATED, Cell, Row, Table
from lab.conformance.text import text
from lab.store.rows import VerdictRow
from tests.conformance.refresh import FILES, committed, shown, wanted

HOW_TO_MEND = "read the difference; if it is right: python -m tests.conformance.refresh"


@pytest.fixture(scope="module")
def table() -> Table:
    return committed()


@pytest.fixture(scope="module")
def rows(table: Table) -> dict[tuple[str, str], Row]:
    return {(arch, row.requirement.id): row for arch in table.arches for row in table.rows(arch)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_documents_show_the_committed_run(path: Path, table: Table) -> None:
    was = shown(path)
    assert was is not None, f"{path.name} has lost its marks"
    assert was == wanted(path, table), HOW_TO_MEND
    assert was.count("\n") > 10


def recounted(table: Table, design: str, arch: str) -> list[VerdictRow]:
    (run,) = table.runs
    return [row for row in run.result.verdicts if (row.unwinder, row.arch) == (design, arch)]


def test_the_first_row_is_every_stop_there_is(table: Table, rows: dict[tuple[str, str], Row]) -> None:
    found = rows["aarch64", "RS-2-trace"].cells["fp"]
    mine = [row for row in recounted(table, "fp", "aarch64") if row.proposal == "base"]
    assert found.seen.stops == sum(row.stops for row in mine) > 0
    assert found.verdicts["missing"] == found.broken.stops == sum(row.stops for row in mine if row.verdict == "missing")
    assert found.broken.pcs == len({(row.workload, row.pc) for row in mine if row.verdict == "missing"})


def test_a_row_with_a_condition_is_recounted(table: Table, rows: dict[tuple[str, str], Row]) -> None:
    """RS-4.3-prologue: the workloads with rows 12 or 13 that are not about corruption or assembly."""
    found = rows["aarch64", "RS-4.3-prologue"].cells["fp"]
    mine = [
        row
        for row in recounted(table, "fp", "aarch64")
        if (row.proposal, row.mode, row.region, row.offset_class) == ("base", "boundary", "original", "prologue")
        and row.workload in {"alloca", "dns", "noreturn", "strtod"}
    ]
    assert found.verdicts == {
        verdict: sum(row.stops for row in mine if row.verdict == verdict)
        for verdict in ("exact", "refused", "missing", "extra", "crash")
    }
    assert found.state == VIOLATED


def test_designs_that_need_a_shadow_stack_are_looked_at_where_there_is_one(rows: dict[tuple[str, str], Row]) -> None:
    for requirement in ("RS-2-trace", "RS-4.3-body"):
        assert rows["aarch64", requirement].cells["scs"].seen.stops > 0
        assert rows["aarch64", requirement].cells["scs"].left_out == ()


def test_every_cell_says_what_it_rests_on(rows: dict[tuple[str, str], Row]) -> None:
    def sound(cell: Cell) -> bool:
        known = (cell.seen.stops > 0, cell.broken.stops > 0, bool(cell.reason))
        return known == {
            HOLDS: (True, False, False), VIOLATED: (True, True, False), ABSENT: (False, False, True)
        }.get(cell.state, (cell.seen.stops > 0, False, True))  # fmt: skip

    cells = [cell for row in rows.values() for cell in row.cells.values()]
    assert {cell.state for cell in cells} == {HOLDS, VIOLATED, ABSENT, OPEN}
    assert all(sound(cell) for cell in cells)
    for cell in cells:
        assert bool(cell.workloads) == (cell.seen.stops > 0)
        assert set(cell.broken_in) <= set(cell.workloads)
        assert (cell.evidence is None) == (not cell.broken_in) == (cell.state != VIOLATED)
        assert sum(cell.verdicts.values()) == cell.seen.stops
        assert cell.broken.stops <= cell.seen.stops


def test_the_text_is_for_mail(table: Table) -> None:
    for printed in (text(table, details=False), text(table, details=True)):
        assert printed.isascii()
        assert max(map(len, printed.splitlines())) <= 70
        assert f"repro: unwindlab conformance --run {table.runs[0].run_id}\n" in printed


def invoke(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["conformance", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_json(table: Table, rows: dict[tuple[str, str], Row], tmp_path: Path) -> None:
    run = table.runs[0].run_id
    code, out, _ = invoke(
        "--run", run, "--row", "4.3", "--arch", "arm64", "--unwinder", "fp", "--json", "-o", str(tmp_path)
    )
    assert code == 0
    found = json.loads(out)
    assert (found["runs"], found["designs"], found["oracle_not_exact"]) == ([run], ["fp"], 0)
    assert [row["id"] for row in found["rows"]] == [r.id for r in REQUIREMENTS if r.section == "4.3"]
    for row in found["rows"]:
        assert {"id", "title", "cells"} <= set(row)
        assert row["cells"] == {"fp": json.loads(json.dumps(rows["aarch64", row["id"]].cells["fp"].to_json()))}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--row", "RS-4.3-prolog"), "unknown requirement 'RS-4.3-prolog'; did you mean 'RS-4.3-prologue'?"),
        (("--unwinder", "dwarff"), "unknown unwinder 'dwarff'; did you mean 'dwarf'?"),
        (("--arch", "mips"), "mips"),
        (("--run", "ffffffff"), "unknown run 'ffffffff'"),
        (("--json", "--markdown"), "--json or --markdown, not both"),
        (("--row", "RS-2-trace"), "names a workload of its own"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    code, out, error = invoke(*arguments, "-o", str(tmp_path))
    assert (code, out, len(error.splitlines())) == (2, "", 1)
    assert message in error
