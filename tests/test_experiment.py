"""The experiment file: everything by default, all mistakes at once with their lines, one canonical text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError
from lab.experiment import Experiment, locate, read_experiment, revive
from tests.fake_run import ARCHES, PROPOSALS, UNWINDERS, WORKLOADS
from tests.fakes import FakeNames


def read(tmp_path: Path, text: str, **options: object) -> Experiment:
    file = tmp_path / "x.toml"
    file.write_text(text)
    return read_experiment(file, options, FakeNames())


def mistakes(tmp_path: Path, text: str, **options: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, **options)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(tmp_path) + "/", "").splitlines()


def test_nothing_means_everything(tmp_path: Path) -> None:
    experiment = read(tmp_path, "")
    assert experiment.arches == list(ARCHES)
    assert experiment.workloads == list(WORKLOADS)
    assert experiment.proposals == list(PROPOSALS)
    assert experiment.unwinders == list(UNWINDERS)
    assert experiment.modes == ["boundary", "call"]
    assert (experiment.compilers, experiment.size, experiment.max_instructions) == (["clang"], "large", 50_000_000)


def test_all_mistakes_come_at_once_with_line_and_hint(tmp_path: Path) -> None:
    text = (
        '# workloads\nworkloads = [\n  "musl_regex",\n  "musl_regx",  # typo\n]\nsede = 3\nmax_instructions = "many"\n'
    )
    found = mistakes(tmp_path, text, modes=("boundry",))
    assert sorted(line.split(":", 2)[1] for line in found if line.startswith("x.toml")) == ["4", "6", "7"]
    assert "x.toml:4: unknown workload 'musl_regx'; did you mean 'musl_regex'?" in found
    assert "x.toml:6: unknown key 'sede'; did you mean 'seed'?" in found
    assert "--mode: unknown mode 'boundry'; did you mean 'boundary'?" in found
    assert len(found) == 4


def test_a_name_in_a_comment_is_not_the_place(tmp_path: Path) -> None:
    found = mistakes(tmp_path, 'unwinders = [  # "fpp" is wrong\n "fp",\n "fpp"]\n')
    assert found == ["x.toml:3: unknown unwinder 'fpp'; did you mean 'fp'?"]


def test_toml_syntax_errors_name_file_and_line(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, 'size = "small"\nseed = = 1\n')
    assert line.startswith("x.toml:2: not TOML: ")


@pytest.mark.parametrize("text", ["workloads = 3", 'workloads = "musl_regex"', "workloads = [1]", 'workloads = [""]'])
def test_a_list_of_another_type_is_one_mistake(tmp_path: Path, text: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert line.startswith("x.toml:1: 'workloads': ")


@pytest.mark.parametrize(
    "text",
    ["max_instructions = 0", "max_seconds = nan", "stacks = -1", "seed = true", 'size = "big"', "[table]\na = 1"],
)
def test_values_out_of_range_are_refused(tmp_path: Path, text: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert line.startswith("x.toml:1: ")


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such experiment file"):
        read_experiment(tmp_path / "none.toml", {}, FakeNames())
    with pytest.raises(InputError, match="cannot read the experiment file"):
        read_experiment(tmp_path, {}, FakeNames())
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_experiment(tmp_path / "binary.toml", {}, FakeNames())


def test_options_override_the_file_and_aliases_work(tmp_path: Path) -> None:
    experiment = read(tmp_path, 'arches = ["amd64"]\nseed = 4\n', seed=7)
    assert (experiment.arches, experiment.seed) == (["x86_64"], 7)


def test_an_unwinder_may_be_a_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("UNWINDER = 1")
    assert read(tmp_path, "", unwinders=(str(mine), "fp")).unwinders == ["fp", str(mine)]
    (line,) = mistakes(tmp_path, "", unwinders=(str(tmp_path / "absent.py"),))
    assert line.startswith("--unwinder: unknown unwinder")


def test_the_same_choice_has_the_same_canonical_text(tmp_path: Path) -> None:
    one = read(tmp_path, "", workloads=WORKLOADS)
    two = read(tmp_path, "", workloads=(*reversed(WORKLOADS), WORKLOADS[0]))
    assert one.canonical() == two.canonical() == read(tmp_path, "").canonical()
    assert one.canonical() != read(tmp_path, "seed = 2").canonical()


def test_a_stored_experiment_names_its_run_in_messages() -> None:
    with pytest.raises(InputError, match=r"run abc: unknown workload 'gone'"):
        revive(Experiment(workloads=["gone"]), FakeNames(), "run abc")


@given(st.text(), st.text(), st.text())
def test_locate_always_answers_with_a_line_of_the_text(text: str, key: str, value: str) -> None:
    assert 1 <= locate(text, key, value) <= text.count("\n") + 1


@given(st.text(min_size=1))
def test_a_message_is_always_one_line(name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_experiment(None, {"workloads": ["no such " + name]}, FakeNames())
    assert len(str(caught.value).splitlines()) == 1
