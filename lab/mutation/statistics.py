"""Shares of mutants with their intervals, honest about mutants of one function being alike.

The unit is a mutant (and a design), never a stop.  Mutants of one function of one image form a cluster.  The interval
is Clopper and Pearson's (Biometrika 26, 1934) for the effective number of mutants after Korn and Graubard (Survey
Methodology 24, 1998): n* = p(1 - p) / v, at most n, where v is the variance of p between m clusters (linearised), times
(t(n - 1) / t(m - 1))**2.  Where p is 0 or 1 the clusters tell no variance, and n* is m: as if all mutants of a function
were one.  With 0 seen the upper bound is then 1 - 0.025**(1/m), about 3.7 / m; one-sided at 95 % it is
1 - 0.05**(1/m), about 3 / m: the rule of three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """*count* of *n* mutants, in *clusters* functions.  ``low`` and ``high``: 95 %, two-sided; ``bound``: the upper
    bound, 95 % one-sided, where none was seen, else None.  With n = 0 the interval is all there is: 0 to 1."""

    count: int
    n: int
    clusters: int
    effective: float
    low: float
    high: float
    bound: float | None


def share(outcomes: Sequence[tuple[Hashable, bool]]) -> Share:
    """The share of true ones among *outcomes*, each (its cluster, whether it counts)."""
    n, count = len(outcomes), sum(hit for _, hit in outcomes)
    clusters = len({cluster for cluster, _ in outcomes})
    if n == 0:
        return Share(0, 0, 0, 0.0, 0.0, 1.0, None)
    effective = effective_size(outcomes)
    low, high = clopper_pearson(count / n * effective, effective)
    bound = 1 - (1 - CONFIDENCE) ** (1 / clusters) if count == 0 else None
    return Share(count, n, clusters, effective, low, high, bound)


def clopper_pearson(count: float, n: float) -> tuple[float, float]:
    """The exact two-sided interval for *count* of *n*; both may be fractions (then it is the beta function's)."""
    from scipy.stats import beta  # type: ignore[import-untyped]

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count <= 0 else float(beta.ppf(tail, count, n - count + 1))
    high = 1.0 if count >= n else float(beta.ppf(1 - tail, count + 1, n - count))
    return low, high


def effective_size(outcomes: Sequence[tuple[Hashable, bool]]) -> float:
    """How many independent mutants tell as much as these (see the module)."""
    from scipy.stats import t

    n, grouped = len(outcomes), defaultdict(list)
    for cluster, hit in outcomes:
        grouped[cluster].append(hit)
    clusters, p = len(grouped), sum(hit for _, hit in outcomes) / n
    if clusters == 1 or p in (0, 1):
        return float(clusters)
    excess = [sum(hits) - p * len(hits) for hits in grouped.values()]
    variance = clusters / (clusters - 1) * sum(e * e for e in excess) / n**2
    tail = (1 + CONFIDENCE) / 2
    freedom = float(t.ppf(tail, n - 1) / t.ppf(tail, clusters - 1)) ** 2
    found = n if variance == 0 else min(n, p * (1 - p) / variance)
    return max(1.0, min(n, found * freedom))
