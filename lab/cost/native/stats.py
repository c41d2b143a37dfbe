"""benchstat's statistics (golang.org/x/perf, benchmath): medians, their intervals, and whether two samples differ.

Nothing is assumed of the distribution and no sample is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scipy import stats  # type: ignore[import-untyped]  # there are no stubs among the requirements

CONFIDENCE = 0.95
ALPHA = 0.01
"""Below this p a difference is one.  benchstat's default is 0.05, which calls one A/A pair in twenty different."""
LEAST = 10
"""Samples below which nothing is compared."""


@dataclass(frozen=True)
class Summary:
    """The median of *n* samples and the interval [low, high] that holds the true one with CONFIDENCE at least."""

    median: float
    low: float
    high: float
    n: int

    @property
    def spread(self) -> float:
        """The farther end of the interval from the median, as a share of it."""
        return max(self.high - self.median, self.median - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Comparison:
    """*after* against *before*: the relative change of the medians, and p of the Mann-Whitney U test (two-sided)."""

    before: Summary
    after: Summary
    change: float
    p: float

    @property
    def differs(self) -> bool:
        """Whether the samples tell the two apart."""
        return self.p < ALPHA

    @property
    def verdict(self) -> str:
        """``+`` slower, ``-`` faster, ``~`` not told apart."""
        return "~" if not self.differs or self.change == 0 else "+" if self.change > 0 else "-"


def summary(samples: Sequence[float]) -> Summary:
    """The interval is that of the order statistics x[k], x[n-1-k] with the largest k whose coverage, binomial(n, 1/2),
    is CONFIDENCE; the whole range where n is too small for that."""
    ordered = sorted(samples)
    n = len(ordered)
    outside = (1 - CONFIDENCE) / 2
    k = 0
    while k + 1 <= (n - 1) // 2 and stats.binom.cdf(k, n, 0.5) <= outside:
        k += 1
    rank = max(k - 1, 0)  # the last k that was still within
    return Summary(median(ordered), ordered[rank], ordered[n - 1 - rank], n)


def compare(before: Sequence[float], after: Sequence[float]) -> Comparison:
    """Of two samples, LEAST of each at least (ValueError)."""
    if min(len(before), len(after)) < LEAST:
        raise ValueError(f"{min(len(before), len(after))} samples; {LEAST} at least")
    old, new = summary(before), summary(after)
    p = float(stats.mannwhitneyu(before, after, alternative="two-sided").pvalue)
    return Comparison(old, new, new.median / old.median - 1 if old.median else 0.0, p)
