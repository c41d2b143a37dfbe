"""The order of flavours and modes: what is compared with what, and what is said where it is another."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lab.cost.collect import Asked, Failed, Found, failure, measure_one
from lab.cost.native.measure import NativeRow
from lab.cost.native.stats import compare
from lab.cost.order import COMPILER, NOP_FILL, PARALLEL, Ordered, ordered
from lab.cost.order_text import render, to_json
from lab.errors import EngineError, InputError
from tests.cost.measuring import job


def found(arch: str, workload: str, *proposals: str) -> list[Found]:
    done = [measure_one(Asked(job(arch, workload, name), check=False)) for name in proposals]
    return [one for one in done if isinstance(one, Found)]


@pytest.fixture(scope="module")
def x86() -> list[Found]:
    return found("x86_64", "smash", "xray-parallel-use", "detour-parallel-use", "detour-memory-use")


def by_claim(rows: list[Ordered]) -> dict[str, Ordered]:
    return {row.claim: row for row in rows}


def test_functions_that_both_change_are_compared_entry_by_entry(x86: list[Found]) -> None:
    rows = by_claim(ordered(x86))
    assert list(rows) == [PARALLEL.title, NOP_FILL.title]
    parallel = rows[PARALLEL.title]
    assert parallel.holds and parallel.holds_alike and parallel.entries > 0
    # two sequences with their jumps, as they are written
    assert [str(parallel.first_alike), str(parallel.second_alike)] == ["7", "11"]
    assert parallel.workloads == 1 and rows[NOP_FILL.title].holds_alike


def test_insertion_without_leaves_is_the_compilers_own_to_the_instruction() -> None:
    (row,) = ordered(found("aarch64", "smash", "insertion-register-use-nonleaf", "scs-clang"))
    assert row.claim == COMPILER.title and row.holds
    assert row.first == row.second > 0 and row.first_alike == row.second_alike


def timed(program: str, proposal: str, at: float) -> NativeRow:
    base, own = tuple(map(float, range(10))), tuple(at + n for n in range(10))
    return NativeRow("x86_64", program, proposal, "us/run", 0, compare(base, own), base, own)


def test_time_is_compared_between_the_two_and_what_contradicts_is_named(x86: list[Found]) -> None:
    native = [timed("tree", "detour-parallel-use", 50), timed("tree", "detour-memory-use", 90)]
    native += [timed("odd", "detour-parallel-use", 90), timed("odd", "detour-memory-use", 50)]
    native += [timed("level", "detour-parallel-use", 50), timed("level", "detour-memory-use", 50)]
    rows = ordered(x86, native)
    parallel = by_claim(rows)[PARALLEL.title]
    assert (parallel.as_said, parallel.other, parallel.level) == (("tree",), ("odd",), ("level",))
    text = render(rows, timed=True)
    assert "1/1/1" in text and "otherwise in odd" in " ".join(text.split()) and max(map(len, text.splitlines())) <= 70
    assert "add --native" in render(rows, timed=False)
    assert Fraction(to_json(rows)["rows"][0]["first"]) == parallel.first


def test_a_pair_that_fails_ends_none_of_the_others() -> None:
    assert failure([]) is None
    failed = [Failed("arm64 one base", InputError("no such file")), Failed("arm64 two base", EngineError("differs"))]
    error = failure(failed)
    assert isinstance(error, EngineError) and error.lines == ["arm64 one base: no such file", "arm64 two base: differs"]
    one = measure_one(Asked(job("x86_64", "no-such", "base"), check=False))
    assert isinstance(one, Failed) and "no-such" in str(one.titled())


def test_a_program_of_the_small_kernel_is_not_for_a_user_emulator() -> None:
    one = measure_one(Asked(job("aarch64", "ftracesite", "base"), check=True))
    assert isinstance(one, Found) and one.checked is not None
    assert len(one.checked.by) == 1 and one.checked.without  # by plain hooks, and why not by qemu
