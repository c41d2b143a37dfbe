"""The heat map by part of a function, and the metadata figure: their counts, their twins, the same bytes every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lab.report.bars import MOST_ROWS
from lab.report.canvas import label
from lab.report.cost_figures import write_cost_figures
from lab.report.densities import MOST, ascii_densities, metadata_sizes
from lab.report.heat import Heat, ascii_heat, heats
from lab.report.heat_figure import write_heat_figures
from lab.report.text import share
from lab.store import Run, load_run, write_run
from tests.fake_run import fake_run


@pytest.fixture(scope="module")
def run() -> Run:
    made = fake_run(arches=("aarch64",), insns=16, workloads=("w",))
    costs = [replace(row, formats={"dwarf": 1700, "orc 6.1": 425}) for row in made.result.costs]
    return replace(made, result=replace(made.result, costs=costs))


def heat_of(run: Run) -> Heat:
    (found,) = heats(run.result.cells, run.result.verdicts)
    return found


def test_only_modes_whose_stops_lie_in_several_parts_have_one(run: Run) -> None:
    assert heat_of(run).mode == "boundary"
    call = [row for row in run.result.verdicts if row.mode == "call"]
    assert heats(run.result.cells, [replace(row, offset_class="body") for row in call]) == []


def test_every_stop_is_in_one_part(run: Run) -> None:
    heat = heat_of(run)
    assert heat.parts == ("prologue", "body", "inserted")
    assert heat.verdicts == ("missing", "extra", "refused")
    cells = {(c.proposal, c.unwinder): c for c in run.result.cells if c.mode == "boundary"}
    for row in heat.rows:
        cell = cells[row.proposal, row.unwinder]
        assert sum(row.stops.values()) == cell.stops
        for verdict, stops in cell.verdicts.items():
            assert sum(n for (_, v), n in row.counts.items() if v == verdict) == stops
    assert {row.unwinder for row in heat.rows} < {c.unwinder for c in run.result.cells}
    assert heat.clean == len(cells) - len(heat.rows) > 0


def test_the_twin_has_every_share(run: Run) -> None:
    heat, rows = heat_of(run), Counter[str]()
    for r in run.result.verdicts:
        if (r.mode, r.proposal, r.unwinder, r.region) == ("boundary", "plain", "fp", "original"):
            rows[r.offset_class] += r.stops
            rows[r.offset_class + r.verdict] += r.stops
    text = ascii_heat(heat, run.run_id)
    line = next(line for line in text.splitlines() if line.startswith(" fp M"))
    assert line.split()[2:] == [share(rows[f"{p}missing"], rows[p]) for p in ("prologue", "body")] + ["-"]
    assert max(map(len, text.splitlines())) <= 70


def test_too_many_rows_are_counted(run: Run) -> None:
    cell = next(c for c in run.result.cells if c.verdicts["missing"])
    row = next(r for r in run.result.verdicts if r.verdict == "missing")
    names = [f"p{n}" for n in range(MOST_ROWS + 3)]
    many = [replace(row, proposal=name, offset_class=part) for name in names for part in ("body", "prologue")]
    (heat,) = heats([replace(cell, proposal=name) for name in names], many)
    assert (len(heat.rows), heat.dropped) == (MOST_ROWS, 3)
    assert "left out: 3 pairs" in ascii_heat(heat, run.run_id)


def test_metadata_is_bytes_per_kib_summed_over_images(run: Run) -> None:
    (shown,) = metadata_sizes(run.result.costs)
    name, values = shown.rows[0]
    own = [row for row in run.result.costs if row.proposal == name]
    assert values["dwarf"] is not None
    assert values["dwarf"] * sum(row.text_bytes for row in own) == 1024 * 1700 * len(own)
    assert values["sframe 2"] is None
    assert "400.0" in ascii_densities(shown, run.run_id)
    many = [replace(run.result.costs[0], proposal=f"p{n}") for n in range(MOST + 1)]
    assert metadata_sizes(many)[0].dropped == (f"p{MOST}",)
    assert metadata_sizes([replace(row, formats=None) for row in many]) == []


def test_the_same_bytes_fresh_or_loaded(run: Run, tmp_path: Path) -> None:
    write_run(run, tmp_path, lambda _run, _folder: None)
    loaded = load_run(run.run_id, [tmp_path])
    for write in (write_heat_figures, write_cost_figures):
        one, two = write(run, tmp_path / "one"), write(loaded, tmp_path / "two")
        assert {path.suffix for path in one} == {".svg", ".png", ".txt"}
        assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert (tmp_path / "one" / "heat-aarch64-clang-boundary.svg").exists()
    assert (tmp_path / "one" / "metadata-aarch64-clang.svg").exists()


def test_a_long_name_keeps_the_end_that_tells_it_from_others() -> None:
    assert label("insertion-memory-pointer-check-nonleaf", 20) == "insertio...k-nonleaf"
    assert label("$x$", 20) == r"\$x\$"
