"""cost: every key, sums that come out, misuse in one line, what is absent said."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from tests.commands.calls import call, one_line

KEYS = "arch workload proposal calls base_instructions added_instructions instructions".split()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder; but with the real parts, unlike its neighbours here."""
    monkeypatch.chdir(tmp_path)


def printed(*args: str) -> dict[str, Any]:
    result = call("cost", "--json", *args)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_rows_have_base_added_and_their_sum() -> None:
    found = printed("--workload", "smash", "--proposal", "xray-memory-check", "--proposal", "base", "--functions")
    rows = found["rows"]
    assert [(row["arch"], row["proposal"]) for row in rows] == [
        (arch, proposal) for arch in ("aarch64", "x86_64") for proposal in ("xray-memory-check", "base")
    ]
    for row in rows:
        assert set(KEYS) <= set(row) and row["doubts"] == []
        for name in ("instructions", "loads", "stores", "bytes_loaded", "bytes_stored", "branches", "taken"):
            assert row[f"base_{name}"] + row[f"added_{name}"] == row[name], name
        assert row["added_instructions"] == row["by_sites"] + row["by_compiler"] + row["elsewhere"]
        assert row["added_instructions_per_call"] == pytest.approx(row["added_instructions"] / row["calls"])
        assert sum(site["added"]["instructions"] for site in row["sites"]) == row["by_sites"]
        functions = row["functions"]
        assert sum(one["after"]["instructions"] for one in functions) == row["instructions"]
        assert sum(row["per_entry"].values()) == sum(one["entries"] for one in functions)


def test_checked_counts_say_by_what() -> None:
    result = call("cost", "--workload", "smash", "--arch", "arm64", "--proposal", "pac-register-use", "--check")
    assert result.exit_code == 0, result.stderr
    assert "checked: 1 execution" in result.stdout and "1 by plain hooks" in result.stdout
    assert "+0 elsewhere" in " ".join(result.stdout.split())
    assert max(map(len, result.stdout.splitlines())) <= 70


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 host to run images natively")
def test_prices_can_be_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.cost.pipeline.mca.mca", lambda: None)
    asked = ("--native", "--pipeline", "--workload", "small", "--proposal", "detour-parallel-use", "--samples", "10")
    found = printed(*asked)
    assert "not installed" in found["pipeline"]["absent"]  # said, and the rest goes on
    (row,) = found["native"]["rows"]
    assert row["unit"] == "ns/call" and len(row["samples"]) == 10 and row["verdict"] in "+-~"


def test_misuse_is_one_line() -> None:
    assert "did you mean 'base'" in one_line(call("cost", "--proposal", "bace"), 2)
    assert (
        "no return-address signing" in one_line(call("cost", "--arch", "amd64", "--proposal", "pac"), 2).split("\n")[0]
    )
    assert "unknown program 'tree2'" in one_line(call("cost", "--native", "--workload", "tree2"), 2)
    assert "for arm64" in one_line(call("cost", "--pipeline", "--arch", "amd64"), 2)
    assert call("cost", "--aa", "3").exit_code == 2
    assert "--order compares two of" in one_line(
        call("cost", "--order", "--workload", "smash", "--proposal", "base"), 2
    )
