"""Sizes per function in the layout of the kernel's scripts/bloat-o-meter (Linux v6.13), line for line."""

from __future__ import annotations

from collections.abc import Mapping

from lab.report.text import clean


def bloat(old: Mapping[str, int], new: Mapping[str, int], what: str = "Function") -> list[str]:
    """What changed from *old* to *new* (name -> bytes): counts, a line per change, biggest growth first, and totals."""
    common = old.keys() & new.keys()
    changes = [(new.get(name, 0) - old.get(name, 0), name) for name in old.keys() | new.keys()]
    up = sum(delta for delta, _ in changes if delta > 0)
    down = -sum(delta for delta, _ in changes if delta < 0)
    add, remove = len(new.keys() - common), len(old.keys() - common)
    grow, shrink = (sum(sign * (new[n] - old[n]) > 0 for n in common) for sign in (1, -1))
    lines = [f"add/remove: {add}/{remove} grow/shrink: {grow}/{shrink} up/down: {up}/{-down} ({up - down})"]
    lines.append(f"{what:<40} {'old':>7} {'new':>7} {'delta':>7}")
    for delta, name in sorted(changes, reverse=True):
        if delta:
            was, now = old.get(name, "-"), new.get(name, "-")
            lines.append(f"{clean(name):<40} {was:>7} {now:>7} {delta:>+7d}")
    before, after = sum(old.values()), sum(new.values())
    percent = (after - before) * 100.0 / before if before else 0.0
    return [*lines, f"Total: Before={before}, After={after}, chg {percent:+.2f}%"]
