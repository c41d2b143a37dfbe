"""Limits, and what other tools are told of them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from lab import store
from lab.errors import InputError
from lab.report.gates import Limit, check, limit
from lab.report.junit import junit
from lab.report.sarif import sarif
from tests.commands.calls import call, one_line
from tests.fake_run import fake_run
from tests.report.hostile import HOSTILE, hostile_run

RUN = hostile_run()
MISSING = next(c for c in RUN.result.cells if c.unwinder == "fp" and c.mode == "boundary")


@pytest.fixture
def stored(tmp_path: Path) -> list[str]:
    store.write_run(RUN, tmp_path, lambda _run, _folder: None)
    return [RUN.run_id, "-o", str(tmp_path)]


def test_a_limit_is_a_count_or_a_share_and_nothing_else() -> None:
    assert limit("missing", "0") == Limit("missing", 0, None)
    assert limit("refused", "0.5%") == Limit("refused", None, Fraction(1, 2))
    for text in ("-1", "1.5", "", "101%", "many", "%"):
        with pytest.raises(InputError, match="neither a count"):
            limit("missing", text)


def test_a_limit_is_exact_at_its_edge() -> None:
    found, stops = MISSING.verdicts["missing"], MISSING.stops
    for most, holds in ((found, True), (found - 1, False)):
        assert Limit("missing", most, None).holds(MISSING) is holds
        assert Limit("missing", None, Fraction(100 * most, stops)).holds(MISSING) is holds


def test_a_broken_limit_names_its_cell_and_the_worst_places() -> None:
    checked = check(RUN.result, [limit("missing", "0")], RUN.result.cells)
    assert [b.cell.key for b in checked.broken] == [MISSING.key]
    (broken,) = checked.broken
    assert broken.pcs == MISSING.worst["missing"]["pcs"]
    assert [stops for _, _, stops in broken.places] == sorted((s for _, _, s in broken.places), reverse=True)
    assert {source for _, source, _ in broken.places} == {"w.c:7", ""} or broken.places[0][1] == "w.c:7"


def test_nothing_to_check_is_no_success() -> None:
    absent = [c for c in fake_run().result.cells if c.unsupported]
    with pytest.raises(InputError, match="nothing to check"):
        check(RUN.result, [limit("missing", "0")], absent)


def test_the_command_fails_and_says_so(stored: list[str]) -> None:
    done = call("check", *stored)
    assert done.exit_code == 1
    assert f"{'/'.join(MISSING.key)}: {MISSING.verdicts['missing']} of {MISSING.stops} stops MISSING" in done.stdout
    assert "5 of 6 cells hold: missing at most 0, crash at most 0" in done.stdout
    assert "1 of 6 cells break a limit" in done.stderr


def test_the_command_passes_what_holds(stored: list[str]) -> None:
    done = call("check", *stored, "--max-missing", "0", "--unwinder", "fp-reliable")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "2 of 2 cells hold: missing at most 0\n"
    assert call("check", *stored, "--max-refused", "0", "--unwinder", "fp-reliable").exit_code == 1
    assert call("check", *stored, "--max-missing", "100%").exit_code == 0


def test_misuse_is_one_line(stored: list[str]) -> None:
    assert "unknown unwinder 'scs-rl'; did you mean 'scs-lr'?" in one_line(
        call("check", *stored, "--unwinder", "scs-rl"), 2
    )
    assert "--max-extra few: neither a count" in one_line(call("check", *stored, "--max-extra", "few"), 2)
    assert "unknown run" in one_line(call("check", "123456789abc", *stored[1:]), 2)
    assert "there is no folder nowhere" in one_line(call("check", *stored, "--junit", "nowhere/junit.xml"), 2)


def test_junit_counts_what_it_lists(stored: list[str], tmp_path: Path) -> None:
    call("check", *stored, "--junit", str(tmp_path / "junit.xml"))
    (suite,) = Xml.parse(tmp_path / "junit.xml").getroot()
    cases = suite.findall("testcase")
    failed = [case for case in cases if case.find("failure") is not None]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(cases)), str(len(failed))) == ("6", "1")
    assert failed[0].get("name") == "w: fp"
    assert "missing at " in str(failed[0].findtext("failure"))


def test_junit_skips_pairs_that_do_not_exist_and_hostile_names_are_text() -> None:
    run = fake_run(arches=("x86_64",), proposals=("plain", "register"), workloads=(HOSTILE + "\x01",), insns=16)
    text = junit(check(run.result, [limit("missing", "0")], run.result.cells), run.run_id)
    (suite,) = Xml.fromstring(text)
    assert suite.get("skipped") == str(len(suite.findall("testcase/skipped"))) == "10"
    assert any(HOSTILE in str(case.get("name")) for case in suite)


SHAPE: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name"},
        {"tests", "failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name"},
        {"assertions", "time", "classname", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
}
"""Of Jenkins' junit-10.xsd: element -> (attributes it must have, others it may have, elements in it)."""


@pytest.mark.parametrize("proposals", [("plain",), ("plain", "register")])
def test_junit_has_the_shape_that_readers_ask_for(proposals: tuple[str, ...]) -> None:
    run = fake_run(arches=("x86_64",), proposals=proposals, workloads=(HOSTILE,), insns=16)
    root = Xml.fromstring(junit(check(run.result, [limit("missing", "0")], run.result.cells), run.run_id))
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, allowed, children = SHAPE[element.tag]
        assert needed <= set(element.keys()) <= needed | allowed
        assert {child.tag for child in element} <= children
    counts = {name: sum(int(suite.get(name, "0")) for suite in root) for name in ("tests", "failures")}
    assert counts == {name: int(root.get(name, "-1")) for name in counts}
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(names)) == len(names) > 0


def test_sarif_has_a_result_for_each_place() -> None:
    checked = check(RUN.result, [limit("missing", "0")], RUN.result.cells)
    (run,) = json.loads(sarif(checked, RUN.run_id, "0.1.0"))["runs"]
    assert len(run["results"]) == len(checked.broken[0].places)
    assert {result["ruleId"] for result in run["results"]} == {"missing"}
    lines = [w["physicalLocation"]["region"]["startLine"] for r in run["results"] for w in r["locations"] if
             "physicalLocation" in w]  # fmt: skip
    assert lines and set(lines) == {7}
