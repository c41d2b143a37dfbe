"""A stop of a big program becomes a small file that shows it, and that fails once the design is corrected."""

from __future__ import annotations

import dataclasses
import runpy
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab import kept, registry, store
from lab.cli import cli
from lab.errors import InputError
from lab.images.cache import cache_folder
from lab.machine.machine import Limits
from lab.shrink import replay, search
from lab.shrink.hunt import Hunt, relation
from lab.shrink.program import Program
from lab.shrink.search import Search
from lab.shrink.shrinking import row_of
from lab.store import Run, load_run
from lab.unwind.api import Unwinder
from tests.make_reference import REFERENCE

MOST_LINES = 12
"""Lines that are left of the big program, at most."""

PLANTED = Program(
    arch="aarch64",
    source="""\
typedef unsigned long u64;
static u64 unused(u64 x) { return x * 3; }
__attribute__((noinline)) u64 leaf(u64 x) { return x * 5 + 1; }
u64 lab_main(u64 large)
{
 if (large) {
  return 4;
 }
 return leaf(large);
}
""",
    flags=("-fno-inline",),
    stem="shrunkplanted",
)


@pytest.fixture(scope="module")
def reference() -> Run:
    (folder,) = (path.parent for path in REFERENCE.glob("*/run.json"))
    return load_run(folder, [])


def stop_number(run: Run, workload: str, unwinder: str, verdict: str) -> int:
    """The first boundary stop in the workload's own start, on AArch64, at which that was so."""
    for number, stop in enumerate(kept.kept_stops(run), 1):
        row = stop.row
        place = (row.arch, row.workload, row.proposal, row.mode)
        if place == ("aarch64", workload, "base", "boundary") and f"{unwinder} {verdict}" in stop.said:
            return number
    raise AssertionError(f"the reference run has no such stop of {workload}")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["shrink", *arguments, "--results", str(REFERENCE)])


@pytest.fixture(scope="module")
def written(reference: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stop of the biggest program of the reference run, shrunk."""
    path = tmp_path_factory.mktemp("shrink") / "test_shrunk.py"
    number = stop_number(reference, "dns", "fp", "missing")
    done = command(reference.run_id, str(number), "--unwinder", "fp", "-o", str(path), "--max-seconds", "900")
    assert done.exit_code == 0, done.output
    assert f"wrote {path}" in done.stdout
    return path


def parts(path: Path) -> dict[str, Any]:
    """What the written file defines."""
    return runpy.run_path(str(path), run_name="written")


def test_a_big_program_becomes_a_small_one(written: Path) -> None:
    found = parts(written)
    assert 1 < len(found["SOURCE"].splitlines()) <= MOST_LINES
    assert "lab_main" in found["SOURCE"]
    assert not list((cache_folder() / "images").glob("shrunk[0-9]*.elf"))


def test_the_file_passes(written: Path) -> None:
    found = parts(written)
    found["test_fp_is_missing"]()
    assert found["VERDICT"] == "missing"
    assert found["TRUTH"] != found["REPORTED"]


def test_it_fails_with_a_corrected_design(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = registry.unwinder("oracle")

    def corrected(name: str) -> Unwinder:
        return dataclasses.replace(oracle, name=name)

    monkeypatch.setattr(replay.registry, "unwinder", corrected)
    with pytest.raises(AssertionError):
        parts(written)["test_fp_is_missing"]()


def test_it_says_where_another_compiler_made_other_code(written: Path) -> None:
    program = parts(written)["PROGRAM"]
    with pytest.raises(InputError, match=r"no boundary stop 1 at lab_start\+0x3 .*another compiler"):
        replay.replay(program, "fp", "boundary", "lab_start+0x3")


def shrunk(workers: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Program, Search]:
    monkeypatch.setattr(search, "cores", lambda: workers)
    first = replay.replay(PLANTED, "fp", "boundary", "leaf+0x0")
    hunt = Hunt(registry.unwinder("fp"), "boundary", Limits(50_000, 60), target=first.target)
    made = Search(hunt, time.monotonic() + 900, lambda kept, tried, what: None)
    assert made.begin(PLANTED) is PLANTED
    return made.shrunk(PLANTED), made


def test_what_comes_out_does_not_depend_on_the_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = shrunk(1, monkeypatch)
    three, made = shrunk(3, monkeypatch)
    assert one == three
    assert one.flags == ()
    assert "unused" not in one.source
    assert "return 4" not in one.source
    assert "leaf" in one.source
    found = made.still(one)
    assert found is not None
    assert found.target == made.hunt.target


def test_a_value_that_is_missing_is_no_program() -> None:
    assert PLANTED.sound()
    assert not dataclasses.replace(PLANTED, source=PLANTED.source.replace(" return leaf(large);", "")).sound()
    assert not dataclasses.replace(
        PLANTED, source=PLANTED.source.replace(" if", " u64 none; large += none; if")
    ).sound()


def test_a_search_without_time_keeps_the_program() -> None:
    hunt = Hunt(registry.unwinder("fp"), "boundary", Limits(50_000, 60))
    late = Search(hunt, time.monotonic() - 1, lambda kept, tried, what: None)
    assert late.shrunk(PLANTED) == PLANTED
    assert late.expired


@pytest.mark.parametrize(
    ("truth", "reported", "said"),
    [
        ((1, 2, 3), (1, 2, 3), "none"),
        ((1, 2, 3), (1, 2), "ends early"),
        ((1, 2, 3), (), "ends early"),
        ((1, 2, 3), (2, 3), "skips"),
        ((1, 2), (1, 7, 2), "adds"),
        ((1, 2), (1, 7), "wrong address"),
    ],
)
def test_how_a_report_differs(truth: tuple[int, ...], reported: tuple[int, ...], said: str) -> None:
    assert relation(truth, reported) == said


def test_mistakes_are_one_line_each(reference: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "load_run", lambda *_: reference)
    there = tmp_path / "there.py"
    there.touch()
    number = str(stop_number(reference, "dns", "fp", "missing"))
    for arguments, message in (
        (("ffffffff", "1"), "unknown run 'ffffffff'"),
        ((reference.run_id, "999999"), "no stop 999999"),
        ((reference.run_id, number, "-o", str(there)), "exists already"),
        ((reference.run_id, number, "--unwinder", "scs"), "no stack of 'scs' was kept there"),
    ):
        done = command(*arguments)
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
        assert message in done.stderr


def test_which_unwinder_must_be_said_where_several_differ(reference: Run) -> None:
    several = next(stop for stop in kept.kept_stops(reference) if len(stop.said) > 1)
    with pytest.raises(InputError, match="say which with --unwinder"):
        row_of(reference, several, None)
    one = next(stop for stop in kept.kept_stops(reference) if len(stop.said) == 1)
    assert row_of(reference, one, None) == one.row
