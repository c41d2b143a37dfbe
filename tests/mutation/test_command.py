"""unwindlab mutate: tables, JSON, one mutant by name, and what it says when misused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.mutation.api import operators
from tests.commands.calls import call, one_line
from tests.console import ROOT
from tests.mutation.test_designs import TRUSTING

DESIGNS = ("--unwinder", "dwarf", "--unwinder", "fp", "--unwinder", "scs-lr", "--unwinder", "oracle")
SMALL = ("--arch", "arm64", "--workload", "longjmp", "--jobs", "1", *DESIGNS)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    result = call("mutate", *SMALL, "--count", "4", "--seed", "5", "--json")
    assert result.exit_code == 0, result.stderr
    plain: dict[str, Any] = json.loads(result.stdout)
    return plain


def test_json_has_a_table_a_kind_and_every_mutant(found: dict[str, Any]) -> None:
    assert [(table["arch"], table["kind"]) for table in found["tables"]] == [
        ("aarch64", kind) for kind in ("metadata", "code", "memory", "rewrite")
    ]
    for table in found["tables"]:
        own = [row for row in found["mutants"] if row["kind"] == table["kind"]]
        assert len(own) == table["drawn"]
        assert sum(bool(row["stillborn"]) for row in own) == table["stillborn"]
        for line in table["lines"]:
            classes = [row["fates"][line["design"]]["klass"] for row in own if not row["stillborn"]]
            assert line["not_reached"] == classes.count("not_reached")
            for name, share in line["shares"].items():
                assert share["count"] == classes.count(name)
                assert share["n"] == len(classes) - line["not_reached"]


def test_a_mutant_is_run_again_by_its_name(found: dict[str, Any]) -> None:
    wrong = next(row for row in found["mutants"] if row["fates"] and row["fates"]["scs-lr"]["klass"] == "silent")
    result = call("mutate", "--mutant", wrong["id"], *DESIGNS, "--json")
    assert result.exit_code == 0, result.stderr
    again = json.loads(result.stdout)
    assert again["fates"] == wrong["fates"]
    mode, number, pc = min(f["first"] for f in wrong["fates"].values() if f["first"])
    assert (again["first"]["mode"], again["first"]["pc"]) == (mode, pc)
    assert number >= 0
    assert all(said["verdict"] in {"missing", "extra", "crash"} for said in again["first"]["said"])
    assert [said["unwinder"] for said in again["first"]["said"]] == again["designs"]


def test_text_is_of_seventy_columns_and_ends_with_the_line_to_do_it_again() -> None:
    options = ("--kind", "metadata", "--count", "3")
    result = call("mutate", *SMALL, *options)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "arm64, metadata (longjmp): 3 mutants"
    assert max(map(len, lines)) <= 70
    assert result.stdout.isascii()
    assert any(line.startswith(" not reached by any: ") and "fp" in line and "oracle" in line for line in lines)
    repro = " ".join(line.strip() for line in lines[[line.startswith("repro:") for line in lines].index(True) :])
    assert repro.startswith("repro: unwindlab mutate --proposal xray-memory-record --arch aarch64 --workload longjmp")
    assert "--kind metadata" in repro
    assert "--count 3 --seed 1" in repro


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kind", "metdata"), "unknown kind 'metdata'; did you mean 'metadata'?"),
        (("--workload", "no-such"), "unknown workload 'no-such'"),
        (("--unwinder", "no-such"), "unknown unwinder 'no-such'"),
        (("--proposal", "no-such"), "unknown proposal 'no-such'"),
        (("--arch", "x86_64", "--proposal", "pac-register-use"), "no image is left; take another workload, proposal"),
        (("--mutant", "nonsense"), "'nonsense': a mutant is named arch:workload:proposal:operator:numbers"),
        (("--mutant", "arm64:longjmp:xray-memory-record:row-dropped:1"), "no mutant '1' in this image"),
        (("--mutant", "arm64:no-such:base:row-dropped:1"), "unknown workload 'no-such'"),
    ],
)
def test_misuse_is_one_line(options: tuple[str, ...], said: str) -> None:
    assert said in one_line(call("mutate", *options), 2)


def test_the_page_lists_every_operator() -> None:
    page = (ROOT / "docs/mutation.md").read_text(encoding="utf-8")
    names = {name for known in operators().values() for name in known}
    assert {name for name in names if f"`{name}`" in page} == names


def test_what_was_left_out_is_said() -> None:
    options = ("--kind", "rewrite", "--proposal", "base", "--unwinder", "fp", "--unwinder", "scs")
    result = call("mutate", *SMALL[:6], *options)
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "aarch64 longjmp base rewrite: left out: the image has no mutant of this kind" in text
    assert "scs: left out: scs needs a shadow stack" in text


def test_a_design_of_the_users_is_asked_under_its_own_name(tmp_path: Path) -> None:
    file = tmp_path / "trusting.py"
    file.write_text(TRUSTING)
    result = call("mutate", *SMALL[:6], "--kind", "rewrite", "--count", "4", "--unwinder", str(file), "--json")
    assert result.exit_code == 0, result.stderr
    (table,) = json.loads(result.stdout)["tables"]
    assert [line["design"] for line in table["lines"]] == ["trusting"]
