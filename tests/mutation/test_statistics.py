"""The intervals: exact where mutants are independent, wider where they are alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest  # type: ignore[import-untyped]

from lab.mutation.statistics import clopper_pearson, effective_size, share

OUTCOMES = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=60)


@given(n=st.integers(1, 300), part=st.floats(0, 1))
def test_whole_counts_have_the_exact_interval(n: int, part: float) -> None:
    count = round(part * n)
    expected = binomtest(count, n).proportion_ci(0.95, "exact")
    assert clopper_pearson(count, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(outcomes=OUTCOMES)
def test_the_interval_holds_the_share_and_is_no_narrower_than_for_independent_ones(
    outcomes: list[tuple[int, bool]],
) -> None:
    found = share(outcomes)
    assert 1 <= found.effective <= found.n == len(outcomes)
    assert found.low <= found.count / found.n <= found.high
    low, high = clopper_pearson(found.count, found.n)
    assert found.low <= low + 1e-9
    assert found.high >= high - 1e-9


@given(outcomes=OUTCOMES, times=st.integers(2, 5))
def test_mutants_that_are_copies_tell_nothing_more(outcomes: list[tuple[int, bool]], times: int) -> None:
    several = [(cluster, hit) for cluster, hit in enumerate(hit for _, hit in outcomes) for _ in range(times)]
    assert effective_size(several) <= max(1, len(outcomes)) + 1e-9


def test_none_seen_is_bounded_by_the_number_of_functions() -> None:
    found = share([(cluster, False) for cluster in range(30) for _ in range(10)])
    assert (found.n, found.clusters, found.low) == (300, 30, 0.0)
    assert found.bound == pytest.approx(1 - 0.05 ** (1 / 30))
    assert found.bound == pytest.approx(3 / 30, rel=0.06)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30))


def test_some_seen_have_no_bound_and_nothing_seen_at_all_tells_nothing() -> None:
    assert share([(1, True), (2, False)]).bound is None
    empty = share([])
    assert (empty.n, empty.low, empty.high, empty.bound) == (0, 0.0, 1.0, None)
