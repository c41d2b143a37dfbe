"""unwindlab mail: the sections of a mail, and the strips of functions with failures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import store
from lab.errors import InputError
from lab.report.mail import SECTIONS, mail, section
from lab.report.strips import strip_section
from tests.commands.calls import call, one_line
from tests.fake_run import fake_run
from tests.report.hostile import HOSTILE, hostile_run

RUN = hostile_run()


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_fit_for_a_mail(name: str) -> None:
    for run in (RUN, fake_run(insns=16)):
        lines = section(run, [name]).splitlines()
        assert max(map(len, lines)) <= 70
        assert all(line.isascii() and not line.startswith(("---", "diff -")) for line in lines)
        assert lines[-1].startswith(f"repro: unwindlab rerun {run.run_id}")
        assert len(lines) > 4


def test_an_unknown_section_is_said_with_those_there_are() -> None:
    with pytest.raises(InputError, match="unknown section 'costz'; known: verdicts, strip"):
        section(RUN, ["costz"])


def test_a_strip_for_each_failing_function_worst_first() -> None:
    found = fake_run(
        arches=("aarch64",), proposals=("plain",), unwinders=("fp",), workloads=("w",), modes=("boundary",)
    )
    missing: dict[str, int] = {}
    for row in found.result.verdicts:
        if row.verdict == "missing":
            missing[row.function] = missing.get(row.function, 0) + row.stops
    titles = [line.split()[0] for line in strip_section(found.result) if line.endswith(" in w, plain")]
    assert titles == sorted(missing, key=lambda name: -missing[name])[:5]


def test_a_strip_has_a_letter_for_every_instruction() -> None:
    lines = list(strip_section(RUN.result, ["work_2"]))
    pcs = {row.pc for row in RUN.result.verdicts if row.function == "work_2" and row.mode == "boundary"}
    start = next(i for i, line in enumerate(lines) if "boundary stops" in line)
    letters = [line.split() for line in lines[start:] if line.startswith("  fp  ")]
    assert len(letters[0]) - 1 == len(pcs)
    assert set(letters[0][1:]) <= set("MECr.")
    assert any(line.startswith(("work_2 (w.c:7) in w", "work_2 in w")) for line in lines)


def test_a_function_by_name_and_a_hostile_one() -> None:
    text = section(RUN, ["strip"], [HOSTILE])
    assert HOSTILE in " ".join(text.split())
    with pytest.raises(InputError, match="no stop is in a function 'work_3x'; did you mean 'work_3'"):
        section(RUN, ["strip"], ["work_3x"])


def test_the_command(tmp_path: Path) -> None:
    store.write_run(RUN, tmp_path, lambda _run, _folder: None)
    here = [RUN.run_id, "-o", str(tmp_path)]
    assert call("mail", *here).stdout == mail(RUN)
    assert call("mail", *here, "--function", "work_2").stdout == section(RUN, ["strip"], ["work_2"])
    assert json.loads(call("mail", *here, "--section", "notes", "--json").stdout)["text"] == section(RUN, ["notes"])
    assert "unknown section" in one_line(call("mail", *here, "--section", "nope"), 2)
