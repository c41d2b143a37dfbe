"""Exact counts: by pc, by site, by function; the sums that must come out, and counters that share nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction

import pytest

from lab.cost import check
from lab.cost.check import check_job, differs
from lab.cost.functions import LEAF, NON_LEAF, RECURSIVE, TAIL_CALL, classes, count_entries
from lab.cost.jobs import profiled
from lab.cost.profile import Amounts, total
from lab.cost.qemu import QemuCount
from lab.cost.sites import attribute
from lab.errors import EngineError
from lab.layout import InsertedRange, Region
from tests.cost.measuring import job, measured, subject

PAIRS = [
    ("aarch64", "tree", "pac-register-use"),
    ("aarch64", "longjmp", "detour-register-use"),
    ("x86_64", "tailcall", "insertion-memory-use"),
    ("x86_64", "tree", "xray-memory-check"),
]


@pytest.mark.parametrize(("arch", "workload", "proposal"), PAIRS)
def test_base_and_added_are_the_instructions_executed(arch: str, workload: str, proposal: str) -> None:
    cost = measured(arch, workload, proposal)
    row = cost.row
    assert row.by_compiler is not None and row.by_sites is not None
    assert row.base_instructions + row.by_compiler + row.by_sites == row.instructions
    assert row.elsewhere == 0 and not cost.doubts
    assert cost.sites is not None and cost.sites.moved == {}
    assert sum(site.added.instructions for site in cost.sites.sites) == row.by_sites > 0
    assert total(one.after for one in cost.functions).instructions == row.instructions
    assert total(one.base for one in cost.functions).loads == row.base_loads


@pytest.mark.parametrize(("arch", "workload", "proposal"), PAIRS)
def test_other_counters_count_the_same_at_every_pc(arch: str, workload: str, proposal: str) -> None:
    asked = job(arch, workload, proposal)
    checked = check_job(asked, subject(asked))
    assert checked.by[0] == "plain hooks" and checked.instructions > 1000
    assert (len(checked.by) == 2) == (shutil.which(f"qemu-{arch}") is not None)


def test_a_count_that_is_off_by_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = job("aarch64", "smash", "base")
    image = subject(asked)
    native = profiled(asked, image)
    counted = {pc: amounts.instructions for pc, amounts in native.at.items()}
    counted[native.last] += 1
    wrong = QemuCount(counted, native.outcome.output, 0)
    monkeypatch.setattr(check, "qemu_for", lambda arch: ("qemu", "7.2"))
    monkeypatch.setattr(check, "count_by_qemu", lambda image, seconds: wrong)
    with pytest.raises(EngineError, match="1 executions, 2 in qemu"):
        check_job(asked, image)
    off = replace(native, at=native.at | {native.last: native.at[native.last] + Amounts(loads=1)})
    assert "loads=1" in differs(native, off)


def test_an_instruction_that_no_site_explains_is_told_apart() -> None:
    asked = job("aarch64", "tree", "detour-register-use")
    image = subject(asked)
    assert image.rewrite is not None
    after = profiled(asked, image)
    before = profiled(asked, subject(job("aarch64", "tree", "base")))
    assert before.image.sha256 != after.image.sha256
    source = profiled(asked, subject(job("aarch64", "tree", "base")))
    fair = attribute(source, after, image.rewrite)
    pc = next(pc for pc in after.at if fair.moved == {} and after.image.function_at(pc) and pc in before.at)
    more = replace(after, at=after.at | {pc: after.at[pc] + Amounts(instructions=7)})
    found = attribute(source, more, image.rewrite)
    assert [change.instructions for change in found.moved.values()] in ([7], [])
    assert found.elsewhere.instructions + found.added.instructions == fair.added.instructions + 7


def test_a_piece_that_the_map_forgets_is_found_elsewhere() -> None:
    asked = job("x86_64", "tree", "detour-parallel-use")
    image = subject(asked)
    assert image.rewrite is not None
    before, after = profiled(asked, subject(job("x86_64", "tree", "base"))), profiled(asked, image)
    busiest = max(
        (piece for piece in image.rewrite.inserted if piece.region is Region.TRAMPOLINE),
        key=lambda piece: sum(after.at[pc].instructions for pc in after.at if piece.start <= pc < piece.end),
    )
    pieces: tuple[InsertedRange, ...] = tuple(piece for piece in image.rewrite.inserted if piece != busiest)
    found = attribute(before, after, replace(image.rewrite, inserted=pieces))
    assert found.elsewhere.instructions > 0
    assert all(busiest.start <= pc < busiest.end for pc in found.moved)


def test_classes_and_entries_of_known_functions() -> None:
    profile = profiled(job("aarch64", "tree", "base"), subject(job("aarch64", "tree", "base")))
    kinds, entries = classes(profile), count_entries(profile)
    assert kinds["walk"] == RECURSIVE and kinds["compare"] == LEAF and kinds["tsearch"] == NON_LEAF
    assert entries["lab_main"] == 1
    assert sum(entries.values()) >= profile.calls
    calls = profiled(job("x86_64", "tailcall", "base"), subject(job("x86_64", "tailcall", "base")))
    assert TAIL_CALL in classes(calls).values()


def test_five_instructions_an_entry_are_five_for_every_entry() -> None:
    cost = measured("aarch64", "tree", "detour-register-use")
    assert cost.row.per_entry is not None
    assert {Fraction(added) for added in cost.row.per_entry} == {Fraction(0), Fraction(5)}
    assert sum(cost.row.per_entry.values()) == sum(one.entries for one in cost.functions)


def test_a_row_whose_parts_do_not_sum_is_refused() -> None:
    row = measured("aarch64", "tree", "pac-register-use").row
    assert row.by_sites is not None
    with pytest.raises(EngineError, match="are not the"):
        replace(row, by_sites=row.by_sites + 1)
    assert replace(row, by_sites=None, by_compiler=None, elsewhere=None).instructions == row.instructions
