"""unwindlab diff: every change of a pc is found and named, whatever moved."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from lab import store
from lab.report.diff import Respin, respin
from lab.report.diff_text import diff_text
from lab.store import Run, VerdictRow, make_run
from tests.commands.calls import call, one_line
from tests.fake_run import PROVENANCE, cell_from, fake_result
from tests.report.hostile import with_code

Edit = Callable[[VerdictRow], VerdictRow | None]
PLAIN = with_code(
    fake_result(arches=("aarch64",), proposals=("plain",), unwinders=("fp",), workloads=("w",), modes=("boundary",))
)
BEFORE = make_run(PLAIN, PROVENANCE)
AT = 0x10000 + 0x100 + 4 * 6


def edited(edit: Edit, shift: int = 0) -> Run:
    """BEFORE with every verdict row edited (None: dropped), and all code moved by *shift* bytes in another image."""
    rows = [row for old in PLAIN.verdicts if (row := edit(old)) is not None]
    rows = [dataclasses.replace(row, pc=row.pc + shift) for row in rows]
    code = [dataclasses.replace(row, pc=row.pc + shift) for row in PLAIN.code]
    images = [dataclasses.replace(image, sha256="00" if shift else image.sha256) for image in PLAIN.images]
    changed = dataclasses.replace(PLAIN, verdicts=rows, code=code, images=images, cells=[cell_from(rows)])
    return make_run(changed, PROVENANCE)


def becomes(verdict: str) -> Edit:
    return lambda row: dataclasses.replace(row, verdict=verdict) if row.pc == AT else row


def only(found: Respin) -> tuple[str, tuple[str, str]]:
    (change,) = found.changes
    return change.kind, change.locations


def test_a_run_does_not_differ_from_itself() -> None:
    found = respin(BEFORE, BEFORE)
    assert (found.changes, found.same, found.aligned) == ((), 1, {})


def test_better_worse_new_and_gone() -> None:
    here = ("work_1+0x18", "work_1+0x18")
    assert [row.verdict for row in PLAIN.verdicts if row.pc == AT] == ["exact"]
    assert only(respin(BEFORE, edited(becomes("missing")))) == ("worse", here)
    assert only(respin(edited(becomes("crash")), edited(becomes("refused")))) == ("better", here)
    dropped = edited(lambda row: None if row.pc == AT else row)
    assert only(respin(BEFORE, dropped)) == ("gone", (here[0], ""))
    assert only(respin(dropped, BEFORE)) == ("new", ("", here[0]))


def test_other_counts_of_the_same_verdict_are_no_progress() -> None:
    more = edited(lambda row: dataclasses.replace(row, stops=row.stops + 1) if row.pc == AT else row)
    assert only(respin(BEFORE, more))[0] == "counts"


def test_code_that_moved_is_paired_by_its_instructions() -> None:
    """Eight bytes more before everything, one instruction gone: nothing else differs."""
    moved = edited(lambda row: None if row.pc == AT else row, shift=8)
    found = respin(BEFORE, moved)
    assert only(found) == ("gone", ("work_1+0x18", ""))
    assert list(found.aligned.values()) == ["instructions"]


def test_without_instructions_offsets_serve() -> None:
    bare = make_run(dataclasses.replace(PLAIN, code=[]), PROVENANCE)
    found = respin(bare, edited(becomes("missing"), shift=8))
    assert only(found)[0] == "worse"
    assert list(found.aligned.values()) == ["offsets"]


def test_cells_of_one_run_only_are_named() -> None:
    wider = make_run(fake_result(arches=("aarch64",), proposals=("plain",), workloads=("w",)), PROVENANCE)
    found = respin(BEFORE, wider)
    assert len(found.new) == 9
    assert respin(wider, BEFORE).gone == found.new
    assert "Cells of the second run only: 9 (plain / fp, plain / fp-reliable" in diff_text(found, BEFORE, wider)


def test_the_text_is_for_mail() -> None:
    after = edited(lambda row: dataclasses.replace(row, verdict="missing", function="f" * 90), shift=4)
    lines = diff_text(respin(BEFORE, after), BEFORE, after, most=3).splitlines()
    assert max(map(len, lines)) <= 70
    assert not [line for line in lines if line.startswith(("---", "diff -"))]
    assert "New: no stop there before: 120 PCs" in lines
    assert " 117 more; --json has all" in lines


def test_the_command(tmp_path: Path) -> None:
    after = edited(becomes("missing"), shift=8)
    for run in (BEFORE, after):
        store.write_run(run, tmp_path, lambda _run, _folder: None)
    done = call("diff", BEFORE.run_id, after.run_id, "-o", str(tmp_path))
    assert done.exit_code == 0, done.stderr
    assert "Worse (the worst verdict at that pc is a worse one): 1 PC" in done.stdout
    found = json.loads(call("diff", BEFORE.run_id, after.run_id, "-o", str(tmp_path), "--json").stdout)
    assert found["counts"] == {"worse": 1, "better": 0, "new": 0, "gone": 0, "counts": 0}
    assert found["changes"][0]["pcs"] == [AT, AT + 8]
    assert "unknown run" in one_line(call("diff", BEFORE.run_id, "000000000000", "-o", str(tmp_path)), 2)
