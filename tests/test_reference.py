"""results/reference: the demo's run kept in git is the run of today, count by count."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.cli import cli
from lab.commands import rerun
from lab.report.mail import mail
from lab.store import Run, compare, load_run, write_run
from tests.console import ROOT
from tests.demo import Demo, demo
from tests.make_reference import MOST_BYTES, REFERENCE, content, folder_size, render_small, timeless
from tests.test_house import MACHINE_PATH

__all__ = ["demo"]  # the fixture

HOW_TO_MEND = "if the new counts are right, run make reference and say in the commit why they changed"


@pytest.fixture(scope="module")
def reference() -> Run:
    kept = [path.parent for path in REFERENCE.glob("*/run.json")]
    assert len(kept) == 1, f"there must be one reference run, there are {len(kept)}; run make reference"
    return load_run(kept[0], [])


def test_todays_demo_has_the_same_counts(demo: Demo, reference: Run) -> None:
    differences = [str(difference) for difference in compare(reference, demo.run())]
    assert not differences, "\n".join([*differences[:20], HOW_TO_MEND])


def test_todays_demo_has_the_same_id(demo: Demo, reference: Run) -> None:
    assert demo.run().run_id == reference.run_id, HOW_TO_MEND


def test_rerun_finds_it(demo: Demo, reference: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, from the project's folder, with today's run in place of a third one."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(rerun, "execute", lambda experiment: demo.run().result)
    done = CliRunner().invoke(cli, ["rerun", reference.run_id])
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"identical: {len(reference.result.cells)} cells\n"


def test_it_is_what_the_demo_prints(demo: Demo, reference: Run) -> None:
    kept = (REFERENCE / reference.run_id / "mail.txt").read_text(encoding="ascii")
    assert kept == mail(reference)
    assert demo.output.startswith(kept.rstrip("\n")), HOW_TO_MEND


def test_oracle_is_exact_everywhere(reference: Run) -> None:
    cells = [c for c in reference.result.cells if c.unwinder == "oracle" and c.unsupported is None]
    assert {c.arch for c in cells} == {"aarch64", "x86_64"}
    assert all(c.verdicts["exact"] == c.stops > 0 for c in cells)


def test_it_is_small() -> None:
    assert 0 < folder_size(REFERENCE) < MOST_BYTES


def test_it_says_how_it_was_made_without_naming_a_machines_paths(reference: Run) -> None:
    assert reference.provenance.argv == ["unwindlab", "demo"]
    assert not reference.provenance.unwinder_files
    texts = {text for row in reference.result.verdicts for text in (row.location, row.function, row.reason)}
    texts |= {text for row in reference.result.stacks for text in (*row.truth_text, *row.reported_text, row.reason)}
    kinds = {".json", ".txt", ".svg", ".html"}
    texts |= {content(path).decode() for path in REFERENCE.rglob("*") if path.suffix in kinds}
    assert not [hit.group() for text in texts for hit in MACHINE_PATH.finditer(text.encode())]


def test_making_it_again_gives_the_same_bytes(demo: Demo, tmp_path: Path, reference: Run) -> None:
    """Today's run, written as the reference is, with the reference's provenance: no time, no order of jobs."""
    again = dataclasses.replace(timeless(demo.run()), provenance=reference.provenance)
    made = write_run(again, tmp_path, render_small).path
    kept = REFERENCE / reference.run_id
    names = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    assert [name for name in names if content(kept / name) != content(made / name)] == []


def test_it_has_every_kind_of_report() -> None:
    """Text, figures with their twins, and the page."""
    (kept,) = (path.parent for path in REFERENCE.glob("*/run.json"))
    names = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    assert names >= {"mail.txt", "report.html"}
    for arch in ("aarch64", "x86_64"):
        for figure in ("verdicts-{}-clang", "heat-{}-clang-boundary", "pareto-{}-clang-boundary", "ecdf-{}-clang",
                       "metadata-{}-clang"):  # fmt: skip
            assert names >= {f"fig/{figure.format(arch)}.{end}" for end in ("svg", "txt")}
