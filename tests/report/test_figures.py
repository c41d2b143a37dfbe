"""The verdict figure: the same bytes every time, an ASCII twin that says the same, nothing clipped."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from lab import store
from lab.report import figures
from lab.report.bars import MOST_ROWS, panels
from lab.report.figures import ascii_figure, write_figures
from lab.report.sums import group_sums
from lab.store import Run
from tests import fake_run as fakes
from tests.fake_run import fake_run


def shown(run: Run) -> list[str]:
    return [ascii_figure(p, run.run_id) for p in panels(group_sums(run.result.cells, run.result.verdicts))]


def test_byte_identical_from_run_to_run_fresh_or_loaded(tmp_path: Path) -> None:
    run = fake_run(arches=("aarch64",), insns=16)
    store.write_run(run, tmp_path, lambda _run, _folder: None)
    first = write_figures(run, tmp_path / "one")
    second = write_figures(store.load_run(run.run_id, [tmp_path]), tmp_path / "two")
    assert [p.name for p in first] == [f"verdicts-aarch64-clang.{end}" for end in ("svg", "png", "txt")]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_the_image_formats_are_what_they_say(tmp_path: Path) -> None:
    svg, png, text = write_figures(fake_run(arches=("aarch64",), insns=16), tmp_path)
    assert "<svg" in svg.read_text()
    assert "<dc:date>" not in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")
    assert text.read_text().isascii()


def test_a_user_matplotlibrc_changes_nothing(tmp_path: Path) -> None:
    import matplotlib as mpl

    run = fake_run(arches=("aarch64",), insns=16)
    plain = write_figures(run, tmp_path / "plain")
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "savefig.dpi": 10}):
        styled = write_figures(run, tmp_path / "styled")
    assert [p.read_bytes() for p in plain] == [p.read_bytes() for p in styled]


def test_the_twin_names_every_row_or_counts_it() -> None:
    text = shown(fake_run(arches=("aarch64",)))[0]
    assert " plain / fp: exact 92.58%" in text
    assert "exact at every stop, not drawn: oracle" in text
    assert all(len(line) <= 70 for line in text.splitlines())


def test_too_many_rows_keep_those_with_most_missing() -> None:
    run = fake_run(arches=("aarch64",), proposals=[f"p{i}" for i in range(30)], workloads=("w",), functions=1, insns=16)
    (panel,) = panels(group_sums(run.result.cells, run.result.verdicts))
    assert len(panel.rows) == MOST_ROWS
    assert panel.dropped > 0
    assert f"{panel.dropped} rows with the fewest MISSING stops are left out" in " ".join(shown(run)[0].split())


def test_names_that_look_like_markup_are_drawn_as_they_are(tmp_path: Path, caplog: object) -> None:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    run = fake_run(arches=("a/../$x^",), proposals=("$\\frac", "x" * 90), workloads=("w",), functions=1, insns=16)
    written = write_figures(run, tmp_path / "fig")
    assert {p.parent for p in written} == {tmp_path / "fig"}
    assert len(written) == 3


def test_no_stops_no_figures(tmp_path: Path) -> None:
    assert write_figures(fake_run(arches=("x86_64",), proposals=("register",)), tmp_path) == []


def test_no_label_runs_into_the_next_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every label of a bar ends inside the axis, whatever the share."""
    ends: list[float] = []
    paint = figures._paint

    def painted(shown: Any, run: Run, figure: Any) -> None:
        paint(shown, run, figure)
        figure.canvas.draw()
        for axis in figure.axes:
            right = axis.get_window_extent().x1
            ends.extend(t.get_window_extent().x1 - right for t in axis.texts if t.get_text()[:2] in {"M ", "E ", "r "})

    monkeypatch.setattr(figures, "_paint", painted)
    monkeypatch.setattr(fakes, "_verdict", lambda *words: "missing" if words[4] < 500 * int(words[2]) else "exact")
    proposals = [str(twentieth) for twentieth in range(1, 20)]
    write_figures(fake_run(arches=("aarch64",), proposals=proposals, unwinders=("fp",), workloads=("w",)), tmp_path)
    assert len(ends) >= 19
    assert max(ends) <= 0
