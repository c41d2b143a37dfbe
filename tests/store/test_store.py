"""results/<run-id>/: whole or not at all, the same bytes for the same run, and every damage noticed."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab import store
from lab.errors import InputError
from lab.store import Run
from tests.fake_run import PROVENANCE, cell_from, fake_run
from tests.report.hostile import hostile_run

SMALL: dict[str, Any] = {"arches": ("aarch64",), "workloads": ("w",), "functions": 2, "insns": 16}
KEY = ("aarch64", "clang", "w", "plain", "fp", "boundary")


def nothing(run: Run, folder: Path) -> None:
    """Render no reports."""


def one_report(run: Run, folder: Path) -> None:
    (folder / "mail.txt").write_text(run.run_id)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run = fake_run(**SMALL)
    path = store.write_run(run, tmp_path, nothing).path
    again = store.load_run(run.run_id, [tmp_path])
    assert path == tmp_path / run.run_id
    assert again.provenance == run.provenance
    assert again.result.cells == run.result.cells
    assert set(again.result.verdicts) == set(run.result.verdicts)
    assert again.result.stacks == run.result.stacks
    assert again.result.costs == run.result.costs
    assert again.result.images == run.result.images
    assert again.result.experiment == run.result.experiment
    assert store.compare(run, again) == []


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    run = fake_run(**SMALL)
    path = store.write_run(run, tmp_path, one_report).path
    assert {"run.json", "cost.parquet", "mail.txt", "stacks/aarch64.parquet"} <= set(files(path))
    assert (path / "verdicts/arch=aarch64/image=w+plain/part.parquet").is_file()
    document = json.loads((path / "run.json").read_text())
    assert document["schema_version"] == 1
    assert document["run_id"] == run.run_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_the_same_run_has_the_same_bytes_in_whatever_order_it_ended(tmp_path: Path) -> None:
    run = fake_run(**SMALL)
    found = run.result
    mixed = dataclasses.replace(
        found,
        cells=found.cells[::-1],
        verdicts=found.verdicts[::-1],
        stacks=found.stacks[::-1],
        costs=found.costs[::-1],
    )
    other = store.make_run(mixed, PROVENANCE)
    one = store.write_run(run, tmp_path / "one", nothing).path
    two = store.write_run(other, tmp_path / "two", nothing).path
    assert run.run_id == other.run_id
    assert files(one) == files(two)


def test_the_id_depends_on_configuration_version_and_images_only() -> None:
    run = fake_run(**SMALL)
    slower = dataclasses.replace(run.result, cells=[dataclasses.replace(c, wall_s=9.0) for c in run.result.cells])
    assert store.make_run(slower, PROVENANCE).run_id == run.run_id
    seeded = dataclasses.replace(run.result, experiment=run.result.experiment.model_copy(update={"seed": 2}))
    assert store.make_run(seeded, PROVENANCE).run_id != run.run_id
    image = dataclasses.replace(run.result.images[0], sha256="0" * 64)
    rebuilt = dataclasses.replace(run.result, images=[image, *run.result.images[1:]])
    assert store.make_run(rebuilt, PROVENANCE).run_id != run.run_id
    newer = dataclasses.replace(PROVENANCE, unwindlab="9.9.9")
    assert store.make_run(run.result, newer).run_id != run.run_id
    filed = dataclasses.replace(PROVENANCE, unwinder_files={"mine.py": "ab"})
    assert store.make_run(run.result, filed).run_id != run.run_id


def other_counts(run: Run) -> Run:
    """The same run, but one stop of one cell was judged differently."""
    rows = list(run.result.verdicts)
    at = next(i for i, row in enumerate(rows) if row.verdict == "exact" and row.unwinder == "fp")
    rows[at] = dataclasses.replace(rows[at], verdict="crash")
    cells = [cell_from([r for r in rows if store.cell_key(r) == c.key]) if c.stops else c for c in run.result.cells]
    return store.make_run(dataclasses.replace(run.result, cells=cells, verdicts=rows), run.provenance)


def test_a_repeat_that_differs_is_a_warning_and_the_newer_stays(tmp_path: Path) -> None:
    run = fake_run(**SMALL)
    store.write_run(run, tmp_path, nothing)
    assert store.write_run(run, tmp_path, nothing).warnings == []
    changed = other_counts(run)
    warnings = store.write_run(changed, tmp_path, nothing).warnings
    assert warnings
    assert warnings[0].startswith("repeats that should be equal differ: aarch64/clang/w/plain/fp/boundary: ")
    assert store.load_run(run.run_id, [tmp_path]).result.cells == changed.result.cells
    assert [p.name for p in tmp_path.iterdir()] == [run.run_id]


def test_differing_pcs_are_found_even_where_totals_agree() -> None:
    run = fake_run(**SMALL)
    rows = list(run.result.verdicts)
    rows[0] = dataclasses.replace(rows[0], pc=rows[0].pc + 2, location="work_0+0x2")
    (difference,) = store.compare(run, store.make_run(dataclasses.replace(run.result, verdicts=rows), PROVENANCE))
    assert difference.what == "verdicts at work_0+0x0 (pc 0x10000)"
    assert difference.after == "none"


def test_time_is_no_count() -> None:
    run = fake_run(**SMALL)
    slower = dataclasses.replace(run.result, cells=[dataclasses.replace(c, wall_s=9.0) for c in run.result.cells])
    assert store.compare(run, store.make_run(slower, PROVENANCE)) == []


def test_nothing_is_left_when_rendering_fails(tmp_path: Path) -> None:
    run = fake_run(**SMALL)
    store.write_run(run, tmp_path, nothing)
    before = files(tmp_path)

    def broken(run: Run, folder: Path) -> None:
        (folder / "mail.txt").write_text("half")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        store.write_run(other_counts(run), tmp_path, broken)
    assert files(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == [run.run_id]


def test_an_older_run_comes_back_when_the_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fake_run(**SMALL)
    store.write_run(run, tmp_path, nothing)
    before = files(tmp_path)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.startswith(".unfinished-"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(InputError, match="No space left on device"):
        store.write_run(run, tmp_path, nothing)
    assert files(tmp_path) == before


def test_a_results_folder_that_cannot_be_made_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the results folder"):
        store.check_root(tmp_path / "file" / "results")


def damage_json(path: Path) -> None:
    (path / "run.json").write_text((path / "run.json").read_text()[:-20])


def damage_schema(path: Path) -> None:
    document = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(document | {"schema_version": 99}))


def damage_sum(path: Path) -> None:
    document = json.loads((path / "run.json").read_text())
    document["cells"][0]["verdicts"]["exact"] += 1
    (path / "run.json").write_text(json.dumps(document))


def damage_key(path: Path) -> None:
    document = json.loads((path / "run.json").read_text())
    document["cells"][0]["surprise"] = 1
    (path / "run.json").write_text(json.dumps(document))


def damage_table(path: Path) -> None:
    part = next(path.glob("verdicts/*/*/part.parquet"))
    part.write_bytes(part.read_bytes()[:-30])


def lose_table(path: Path) -> None:
    next(path.glob("verdicts/*/*/part.parquet")).unlink()


def lose_costs(path: Path) -> None:
    (path / "cost.parquet").unlink()


def lose_document(path: Path) -> None:
    (path / "run.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        damage_json,
        damage_schema,
        damage_sum,
        damage_key,
        damage_table,
        lose_table,
        lose_costs,
        lose_document,
        lambda path: (path / "run.json").write_text("[]"),
    ],
)
def test_a_damaged_run_is_one_line_and_can_be_replaced(tmp_path: Path, damage: Any) -> None:
    run = fake_run(**SMALL)
    path = store.write_run(run, tmp_path, nothing).path
    damage(path)
    with pytest.raises(InputError) as caught:
        store.load_run(path, [])
    assert len(str(caught.value).splitlines()) == 1
    assert run.run_id in str(caught.value)
    (warning,) = store.write_run(run, tmp_path, nothing).warnings
    assert "unreadable" in warning
    assert store.compare(store.load_run(path, []), run) == []


def test_runs_are_found_by_id_by_beginning_and_by_folder(tmp_path: Path) -> None:
    run = fake_run(**SMALL)
    path = store.write_run(run, tmp_path / "reference", nothing).path
    roots = [tmp_path, tmp_path / "reference"]
    assert store.find_run(run.run_id, roots) == store.find_run(run.run_id[:5], roots) == path
    assert store.find_run(path, []) == path
    with pytest.raises(InputError, match=r"unknown run 'f00' in .*known: "):
        store.find_run("f00", roots)


def test_versions_that_differ_are_named() -> None:
    newer = dataclasses.replace(PROVENANCE, packages={"unicorn": "9.9"}, git_dirty=True)
    assert store.version_differences(PROVENANCE, newer) == [
        "unicorn: 2.1.4 then, 9.9 now",
        "git: 0123456789ab then, 0123456789ab with changes now",
    ]
    assert store.version_differences(PROVENANCE, PROVENANCE) == []


def test_provenance_holds_no_paths() -> None:
    made = store.here(["run", "--json"])
    assert made.argv == ["unwindlab", "run", "--json"]
    assert made.packages["unicorn"]
    assert "/" not in made.python


NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8), min_size=2, max_size=2
    )
)
def test_any_name_makes_a_run_inside_its_folder(tmp_path: Path, names: list[str]) -> None:
    run = fake_run(arches=names[:1], workloads=[names[1]], proposals=["plain", "../" + names[0]], functions=1, insns=8)
    path = store.write_run(run, tmp_path / "r", nothing).path
    assert store.compare(store.load_run(path, []), run) == []
    assert {p.parent.name for p in tmp_path.rglob("run.json")} >= {run.run_id}
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_instructions_and_stack_words_come_back_and_older_runs_have_none(tmp_path: Path) -> None:
    run, plain = hostile_run(), fake_run(arches=("aarch64",), insns=16)
    for each in (run, plain):
        store.write_run(each, tmp_path, lambda _run, _folder: None)
        loaded = store.load_run(each.run_id, [tmp_path]).result
        assert sorted(loaded.code, key=repr) == sorted(each.result.code, key=repr)
        assert loaded.stacks == each.result.stacks
    assert run.result.code
    assert run.result.stacks[0].words
    assert not (tmp_path / plain.run_id / "code").exists()
    assert not [row.words for row in loaded.stacks if row.words or row.words_at]
