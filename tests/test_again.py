"""What a stored run tells when its images are built again: folded stacks that add up to its counts, source lines."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import folded, restacked, sourced, store
from lab.errors import EngineError, InputError
from lab.experiment import Experiment
from lab.folded import TRUE, fold
from lab.images.workloads import CORPUS
from lab.job import Job, JobResult, run_job
from lab.machine.machine import Limits
from lab.restacked import with_stacks
from lab.sourced import with_sources
from lab.store import Cell, Run, RunResult, make_run
from tests.commands.calls import call, one_line
from tests.fake_run import PROVENANCE

OWN = """
from lab.unwind.api import Reason, Unwinder
def start(mode, pc, regs):
    return (pc,)
def step(mem, cursor):
    return Reason.NO_ROW, 0, cursor
UNWINDER = Unwinder("never", "refuses", "an example", start, step)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    own = tmp_path_factory.mktemp("own") / "own.py"
    own.write_text(OWN)
    names = ("fp", "fp-reliable", str(own))
    experiment = Experiment(arches=["aarch64"], workloads=["longjmp"], proposals=["base"], unwinders=list(names),
                            modes=["boundary", "call"], size="small")  # fmt: skip
    limits = Limits(experiment.max_instructions, experiment.max_seconds)
    job = Job("aarch64", "clang", "longjmp", "base", names, ("boundary", "call"), "small", limits, 4, "reference")
    done = run_job(job)
    compilers = [{"name": "clang", "version": "any"}]
    found = RunResult(experiment, done.cells, done.verdicts, done.stacks, done.costs, done.images, compilers,
                      code=done.code)  # fmt: skip
    return make_run(found, PROVENANCE)


def cell(run: Run, unwinder: str, mode: str = "boundary") -> Cell:
    return next(c for c in run.result.cells if (c.unwinder, c.mode) == (unwinder, mode))


def test_true_stacks_add_up_to_the_stops_and_hang_together(run: Run) -> None:
    for mode in ("boundary", "call"):
        found = fold(run, cell(run, "fp", mode), TRUE)
        assert sum(found.stacks.values()) == cell(run, "fp", mode).stops > 100
        assert all(stack.split(";")[0] == "_start" for stack in found.stacks)
        assert max(len(stack.split(";")) for stack in found.stacks) > 5


def test_the_innermost_frames_are_the_functions_of_the_stored_rows(run: Run) -> None:
    wanted: Counter[str] = Counter()
    for row in run.result.verdicts:
        if (row.unwinder, row.mode) == ("fp", "boundary"):
            wanted[row.function] += row.stops
    leaves: Counter[str] = Counter()
    for stack, stops in fold(run, cell(run, "fp"), TRUE).stacks.items():
        leaves[stack.rpartition(";")[2]] += stops
    outside = [name for name in leaves if name.startswith("[0x")]
    assert {name: n for name, n in leaves.items() if name not in outside} == {n: s for n, s in wanted.items() if n}
    assert sum(leaves[name] for name in outside) == wanted.get("", 0)


def test_what_an_unwinder_reports_differs_where_it_is_missing(run: Run) -> None:
    true, said = (fold(run, cell(run, "fp"), of).stacks for of in (TRUE, "fp"))
    assert sum(said.values()) == sum(true.values())
    moved = sum(max(0, n - said.get(stack, 0)) for stack, n in true.items())
    assert 0 < moved <= cell(run, "fp").verdicts["missing"] + cell(run, "fp").verdicts["extra"]


def test_refusals_stand_under_their_reason(run: Run) -> None:
    refused = cell(run, "fp-reliable")
    found = fold(run, refused, "fp-reliable")
    tops = {tuple(stack.split(";")[:2]) for stack in found.stacks}
    assert refused.verdicts["refused"] == refused.stops == sum(found.stacks.values())
    assert {top for top, _ in tops} == {"[refused]"}
    assert all(reason.startswith("[") for _, reason in tops)


def test_an_unwinder_of_a_file_is_found_by_its_own_name(run: Run) -> None:
    found = fold(run, cell(run, "never"), "never")
    assert sum(found.stacks.values()) == cell(run, "never").stops
    assert all(stack.startswith("[refused];[no_row];") for stack in found.stacks)


def test_counts_that_are_not_the_stored_ones_are_an_error(run: Run) -> None:
    old = cell(run, "fp")
    verdicts = old.verdicts | {"missing": old.verdicts["missing"] - 1, "exact": old.verdicts["exact"] + 1}
    regions = {name: dict(counts) for name, counts in old.by_region.items()}
    regions["original"]["missing"] -= 1
    regions["original"]["exact"] += 1
    with pytest.raises(EngineError, match=r"longjmp.*stored"):
        fold(run, dataclasses.replace(old, verdicts=verdicts, by_region=regions), "fp")


def test_another_image_is_said(run: Run) -> None:
    images = [dataclasses.replace(image, sha256="0" * 64) for image in run.result.images]
    other = dataclasses.replace(run, result=dataclasses.replace(run.result, images=images))
    with pytest.raises(InputError, match="another image today"):
        fold(other, cell(run, "fp"), TRUE)


@pytest.mark.parametrize(
    ("name", "frame"),
    [("f", "f"), ("a b;c 7", "a_b_c_7"), ("x\n1", "x_1"), ("", "_"), ("[refused]", "_[refused]"), ("é", "é")],
)
def test_no_name_can_add_a_frame_or_a_count(name: str, frame: str) -> None:
    assert folded._function(name) == frame


def test_stacks_beyond_the_limit_are_counted_together(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded, "MOST_STACKS", 3)
    found = fold(run, cell(run, "fp", "call"), TRUE)
    assert len(found.stacks) == 3
    assert sum(found.stacks.values()) + found.others == cell(run, "fp", "call").stops
    assert list(found.lines("image"))[-1] == f"image;[other_stacks] {found.others}"


def test_source_lines_come_from_a_twin_with_the_same_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found, other = with_sources(run)
    assert other == []
    lines = {row.pc: row.source for row in found.result.code}
    places = {row.location: lines[row.pc] for row in run.result.verdicts if row.mode == "boundary"}
    source = (CORPUS / "longjmp.c").read_text(encoding="utf-8").splitlines()
    file, _, number = places["lab_main+0x0"].partition(":")
    assert file == "longjmp.c"
    assert any("lab_main(" in line for line in source[int(number) - 2 : int(number) + 1])
    assert places["_start+0x0"] == ""  # assembly, built without line tables
    assert with_sources(run, only=())[0] == run
    monkeypatch.setattr(sourced, "LINE_TABLES", "-O1")
    assert with_sources(run) == (run, ["aarch64 clang longjmp base"])


def test_more_stops_are_kept_of_every_function_that_fails(run: Run) -> None:
    found = with_stacks(run, each=1).result.stacks
    wanted = {(r.mode, r.unwinder, r.function) for r in run.result.verdicts if r.verdict != "exact" and r.function}
    places = [(row.mode, row.unwinder, row.location.rpartition("+")[0]) for row in found]
    assert len(places) == len(set(places)) > len({(r.mode, r.unwinder) for r in found})
    assert wanted <= set(places)
    cells = run.result.cells
    verdicts = cells[0].verdicts | {"exact": 0, "extra": cells[0].verdicts["exact"] + cells[0].verdicts["extra"]}
    changed = dataclasses.replace(cells[0], verdicts=verdicts, by_region={})
    other = SimpleNamespace(run_id=run.run_id, result=SimpleNamespace(cells=[changed, *cells[1:]]))
    with pytest.raises(InputError, match="other verdicts today"):
        restacked._compare(other, JobResult(cells=cells))  # type: ignore[arg-type]


def test_the_command_prints_lines_or_json_and_misuse_is_one_line(run: Run, tmp_path: Path) -> None:
    store.write_run(run, tmp_path, lambda _run, _folder: None)
    where = [run.run_id, "-o", str(tmp_path), "--mode", "call"]
    lines = [line.rpartition(" ") for line in call("folded", *where).stdout.splitlines()]
    assert sum(int(stops) for *_, stops in lines) == cell(run, "fp", "call").stops
    (plain,) = json.loads(call("folded", *where, "--json").stdout)["cells"]
    assert plain["stacks"] == {stack: int(stops) for stack, _, stops in lines}
    assert "did you mean 'fp'" in one_line(call("folded", *where, "--of", "fpp"), 2)
    assert "unknown workload 'longjump'; did you mean" in one_line(call("folded", *where, "--workload", "longjump"), 2)
    assert "unknown mode 'inject'" in one_line(call("folded", *where[:3], "--mode", "inject"), 2)
    assert "unknown run" in one_line(call("folded", "123456789abc", "-o", str(tmp_path)), 2)
