"""mail.txt: its golden form, its width whatever the names, and the sentences it must hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import store
from lab.report.mail import mail
from tests.fake_run import PROVENANCE, fake_run

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize(("name", "cells"), [("mail.txt", False), ("mail-cells.txt", True)])
def test_the_mail_is_the_golden_one(name: str, cells: bool) -> None:
    found = mail(fake_run(), cells)
    golden = GOLDEN / name
    if not golden.exists() or golden.read_text() != found:
        golden.with_name(name + ".got").write_text(found)
    assert golden.exists(), f"no golden file {golden}; look at {name}.got and rename it"
    assert found == golden.read_text(), f"compare {golden} with {name}.got"


def test_fresh_and_loaded_runs_print_the_same(tmp_path: Path) -> None:
    run = fake_run(insns=16)
    store.write_run(run, tmp_path, lambda _run, _folder: None)
    assert mail(store.load_run(run.run_id, [tmp_path]), True) == mail(run, True)


def test_it_ends_with_the_line_that_reproduces_it() -> None:
    run = fake_run(insns=16)
    last = mail(run).splitlines()[-1]
    assert last == f"repro: unwindlab rerun {run.run_id}   (unwindlab 0.1.0, seed 1)"


def test_unsupported_pairs_are_rows_with_their_reason() -> None:
    text = " ".join(mail(fake_run(insns=16)).split())
    assert "x86-64, clang, pac-register-record / all unwinders: flavour register needs a reserved register" in text


def test_totals_come_with_and_without_inserted_code() -> None:
    text = mail(fake_run(insns=16))
    assert "xray-parallel-use, all code" in text
    assert "xray-parallel-use, without inserted code" in text
    assert "plain, all code" not in text


def test_remarks_are_printed_once_with_their_count() -> None:
    run = fake_run(insns=16)
    cells = [dataclasses.replace(cell, notes=["budget of 5 reached"]) for cell in run.result.cells]
    noted = dataclasses.replace(run.result, cells=cells, notes=["about the run"])
    text = mail(store.make_run(noted, PROVENANCE))
    assert f"budget of 5 reached ({len(cells)} cells)" in text
    assert "\n about the run\n" in text


def test_a_run_without_stops_prints_too() -> None:
    run = fake_run(arches=("x86_64",), proposals=("register",))
    assert "Unsupported (rows without stops)" in mail(run, True)


def test_the_strip_shows_the_worst_function_and_a_lost_caller() -> None:
    text = mail(fake_run())
    assert "worst function: work_2 in deep_recursion, xray-parallel-use" in text
    assert "reported  work_0+0x10   (work_1+0x4 lost)" in text


NAMES = st.text(min_size=1, max_size=80)


@settings(max_examples=25, deadline=None)
@given(NAMES, NAMES, NAMES, NAMES)
def test_any_names_fit_in_seventy_columns(arch: str, workload: str, proposal: str, unwinder: str) -> None:
    run = fake_run(arches=[arch], workloads=[workload], proposals=["plain", proposal + "+"],
                   unwinders=[unwinder, "fp"] if unwinder != "fp" else ["fp"], functions=1, insns=12)  # fmt: skip
    text = mail(run, True)
    assert text.isascii()
    for line in text.split("\n"):
        assert len(line) <= 70
        assert not line.startswith(("---", "diff -"))
