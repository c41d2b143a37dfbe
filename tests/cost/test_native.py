"""Native time: the statistics against known values, and a measurement that runs.  Never how fast anything is."""

from __future__ import annotations

import platform
import random

import pytest

from lab.arch import arch_by_name
from lab.cost.native import measure as measuring
from lab.cost.native.measure import Case, cases, measure
from lab.cost.native.programs import TIMED, built, with_rounds
from lab.cost.native.run import Wanted, run_native
from lab.cost.native.stats import compare, summary
from lab.cost.native.text import render
from lab.cost.native.timing import Variant, interleaved
from lab.cost.profile import profile
from lab.errors import EngineError, InputError
from lab.images.image import load_image
from lab.machine.machine import Limits

on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 host to run images natively")


def test_the_interval_is_that_of_the_order_statistics() -> None:
    # binomial(n, 1/2): the ranks that a table of the sign test gives for 95 %
    for n, rank in ((5, 0), (6, 0), (9, 1), (10, 1), (20, 5), (30, 9)):
        found = summary(list(map(float, range(n))))
        assert (found.low, found.high) == (rank, n - 1 - rank), n
        assert found.median == (n - 1) / 2


def test_only_what_differs_is_said_to_differ() -> None:
    low, high = list(map(float, range(10))), list(map(float, range(20, 30)))
    found = compare(low, high)
    assert found.verdict == "+" and compare(high, low).verdict == "-"
    assert found.p == pytest.approx(0.000182, abs=2e-6)  # the normal approximation would give another
    assert compare(low, low).verdict == "~" and compare(low, low).p == 1.0
    with pytest.raises(ValueError, match="9 samples; 10 at least"):
        compare(low[:9], high)


def test_no_sample_is_thrown_away() -> None:
    chance = random.Random(1)
    plain = [chance.gauss(10, 0.1) for _ in range(20)]
    spoilt = [*plain[:19], 1e6]
    assert compare(plain, spoilt).after.n == 20
    assert compare(plain, spoilt).verdict == "~"  # ranks: one outlier moves nothing


@on_x86
def test_every_variant_is_run_as_often_as_the_base_and_prints_the_same() -> None:
    arch = arch_by_name("x86_64")
    todo = cases(arch, ["detour-parallel-use", "xray-parallel-use"], ["small"])
    assert [variant.name for variant in todo[0].variants] == ["base", "detour-parallel-use"]
    assert "environment" in todo[0].left_out["xray-parallel-use"]
    (row,) = measure(todo, arch, 10, 1, lambda done, total, what: None)
    assert len(row.samples) == len(row.base_samples) == 10 and min(row.samples) > 0
    text = render([row], todo, ["machine: x"], None)
    assert "ns/call" in text and "detour-parallel-use" in text and max(map(len, text.splitlines())) <= 70


@on_x86
def test_what_prints_another_result_is_not_timed() -> None:
    case = Case("odd", "", "us/run", 0, (Variant("base", ("/bin/echo", "1")), Variant("x", ("/bin/echo", "2"))), {})
    with pytest.raises(EngineError, match="x prints another result than base"):
        measuring._same_output(case)
    with pytest.raises(EngineError, match="ended with status 1"):
        interleaved([Variant("base", ("/bin/false",))], 1, 1)


@on_x86
def test_calls_are_those_that_are_executed() -> None:
    arch = arch_by_name("x86_64")
    (case,) = cases(arch, ["detour-parallel-use"], ["empty"])
    image = built(TIMED[0], arch, "base").image
    assert image is not None
    calls = [profile(load_image(with_rounds(image, rounds)), None, Limits()).calls for rounds in (3, 4)]
    assert calls[1] - calls[0] == 64  # 32 of the middle function, 32 of the leaf
    assert case.calls % 64 == 0


def test_another_architecture_is_said_to_be_measured_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: type("U", (), {"machine": "riscv64"}))
    with pytest.raises(InputError, match="this machine is riscv64"):
        run_native(Wanted((), (), (), 10), lambda done, total, what: None)
    monkeypatch.setattr("os.uname", lambda: type("U", (), {"machine": "x86_64"}))
    with pytest.raises(InputError, match="aarch64 has to be measured on its own"):
        run_native(Wanted(("arm64",), (), (), 10), lambda done, total, what: None)
