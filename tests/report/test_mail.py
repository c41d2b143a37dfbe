"""mail.txt: its golden form, its width whatever the names, and the sentences it must hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import store
from lab.report.mail import mail
from tests import fake_run as fakes
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
    assert "pac-register-record / all unwinders (x86-64): flavour register needs a reserved register" in text


def test_a_reason_for_several_unwinders_and_modes_is_said_once() -> None:
    run = fake_run(insns=16)
    absent = [
        fakes.unsupported(cell.key, f"{cell.unwinder} needs a shadow stack")
        for cell in run.result.cells if cell.proposal == "plain" and cell.unwinder in {"scs", "scs-lr"}
    ]  # fmt: skip
    keys = {cell.key for cell in absent}
    changed = dataclasses.replace(
        run.result,
        cells=[cell for cell in run.result.cells if cell.key not in keys] + absent,
        verdicts=[row for row in run.result.verdicts if store.cell_key(row) not in keys],
    )
    text = mail(store.make_run(changed, PROVENANCE))
    assert "\n plain / scs, scs-lr: needs a shadow stack\n" in text
    assert text.count("needs a shadow stack") == 1


def test_an_exact_oracle_is_one_line_and_another_a_row() -> None:
    run = fake_run(insns=16)
    stops = sum(cell.stops for cell in run.result.cells if cell.unwinder == "oracle")
    assert f"\noracle (a check of the lab itself): exact at all {stops} stops\n" in mail(run)
    assert "\n oracle  " not in mail(run)
    cells = [c for c in run.result.cells if c.unwinder == "oracle" and c.stops]
    wrong = dataclasses.replace(cells[0], verdicts=cells[0].verdicts | {"exact": cells[0].stops - 1, "missing": 1},
                                by_region={}, worst={"missing": {"pcs": 1, "functions": 1}})  # fmt: skip
    changed = [wrong if c.key == wrong.key else c for c in run.result.cells]
    text = mail(store.make_run(dataclasses.replace(run.result, cells=changed), PROVENANCE))
    assert "exact at all" not in text
    assert "\n oracle  " in text


def test_an_oracle_alone_has_its_table() -> None:
    assert "\n oracle  100.00%" in mail(fake_run(insns=16, unwinders=("oracle",)))


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
    assert "Unsupported pairs (proposal / unwinder: reason)" in mail(run, True)


def test_the_strip_shows_the_worst_function_and_a_lost_caller() -> None:
    text = mail(fake_run(), True)
    assert "worst function: work_2 in deep_recursion, xray-parallel-use" in text
    assert "reported  work_0+0x10   (work_1+0x4 lost)" in text


def test_without_every_cell_a_strip_is_for_a_call_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "worst function" not in mail(fake_run())
    monkeypatch.setattr(fakes, "_verdict", lambda *_: "missing")
    text = mail(fake_run(unwinders=("fp",), insns=16))
    assert text.count("worst function") == 1
    assert "\narm64, call stops\nworst function" in text


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
