"""Cost in reports: benchstat's shape, sizes, Pareto and ECDF with their twins, the same bytes every time."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from lab.report.benchstat import MOST, class_tables
from lab.report.cost_figures import write_cost_figures
from lab.report.ecdf import ascii_ecdf, curves
from lab.report.mail import mail
from lab.report.pareto import Point, ascii_pareto, paretos
from lab.report.sizes import format_table, size_table
from lab.report.sums import group_sums
from lab.store import Run, load_run, write_run
from lab.store.cost_rows import CostRow
from tests.fake_run import fake_run


def kept(row: CostRow) -> CostRow:
    """*row* with what newer runs keep."""
    return replace(
        row, returns=row.calls, by_compiler=0, by_sites=row.added_instructions, elsewhere=0,
        per_entry={"0": 400, "3/2": 200, "12": 400}, class_entries={"leaf": 400, "non-leaf": 600},
        class_base={"leaf": 2400, "non-leaf": 12000}, class_after={"leaf": 3200, "non-leaf": 15000},
        file_bytes=9000, base_file_bytes=8000, loaded_bytes=20000, base_loaded_bytes=12000,
        sections={"eh_frame": 1500}, base_sections={"eh_frame": 1400}, formats={"dwarf": 1700, "orc 6.1": 425},
    )  # fmt: skip


@pytest.fixture
def run() -> Run:
    plain = fake_run(arches=("aarch64",), insns=16)
    rows = [kept(row) for row in plain.result.costs]
    free = [
        replace(
            row, proposal="plain", instructions=row.base_instructions, by_sites=0, per_entry={"0": 1000},
            class_after=row.class_base,
        )
        for row in rows
    ]  # fmt: skip
    return replace(plain, result=replace(plain.result, costs=[*rows, *free]))


def test_the_shape_is_benchstats(run: Run) -> None:
    text = class_tables(run.result.costs)
    assert "leaf          |      6.00 |        8.00  +33.33% (exact)" in text
    assert "all           |     42.00 |       48.12  +14.58% (exact)" in text
    many = [replace(run.result.costs[0], proposal=f"p{n}") for n in range(MOST + 2)]
    assert " 2 more: unwindlab cost --arch aarch64" in class_tables(many)


def test_old_runs_have_no_such_tables_and_new_ones_fit_a_mail(run: Run, tmp_path: Path) -> None:
    old = fake_run(arches=("aarch64",), insns=16)
    assert "insn/entry" not in mail(old) and "Static size" not in mail(old)
    assert write_cost_figures(old, tmp_path) == []  # one price only, and no distribution
    text = mail(run)
    assert "insn/entry" in text and "Static size" in text and "bytes per KiB" in text
    assert max(map(len, text.splitlines())) <= 70


def test_sizes_are_sums_over_workloads(run: Run) -> None:
    one = run.result.costs[0]
    table = "\n".join(size_table([one, one]))
    assert "+200" in table and "+2000" in table and "+16000" in table
    density = "\n".join(format_table([one]))
    assert "400.0" in density and "100.0" in density and "n/a" in density  # 1024 * 1700 / 4352


def test_what_is_beaten_is_not_on_the_front() -> None:
    cheap = Point("a", "x", Fraction(0), 10, 50, 100)
    right = Point("b", "x", Fraction(5), 0, 100, 100)
    worse = Point("c", "x", Fraction(6), 0, 100, 100)
    assert right.beats(worse) and not worse.beats(right)
    assert not cheap.beats(right) and not right.beats(cheap) and not right.beats(right)


def test_twins_say_what_the_figures_show(run: Run) -> None:
    found = paretos(group_sums(run.result.cells, run.result.verdicts), run.result.costs)
    assert found
    for shown in found:
        points = [*shown.front, *shown.rest]
        assert all(any(other.beats(p) for other in points) for p in shown.rest)
        text = ascii_pareto(shown, run.run_id)
        assert all(f"{p.proposal} / {p.unwinder}" in text for p in shown.front)
    (shown_curves,) = curves(run.result.costs)
    text = ascii_ecdf(shown_curves, run.run_id)
    assert "40.00%" in text and "60.00%" in text and "+12.00" in text


def test_the_same_bytes_fresh_or_loaded(run: Run, tmp_path: Path) -> None:
    write_run(run, tmp_path, lambda _run, _folder: None)
    loaded = load_run(run.run_id, [tmp_path])
    assert sorted(map(str, loaded.result.costs)) == sorted(map(str, run.result.costs))
    one, two = write_cost_figures(run, tmp_path / "one"), write_cost_figures(loaded, tmp_path / "two")
    assert [path.name for path in one] == [path.name for path in two] and len(one) >= 3
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert b"<dc:date>" not in next(path for path in one if path.suffix == ".svg").read_bytes()
