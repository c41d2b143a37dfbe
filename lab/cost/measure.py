"""The cost of one program under one proposal, as the store keeps it: exact counts, and who added them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from lab.cost.functions import FunctionCost, distribution, function_costs
from lab.cost.profile import Profile
from lab.cost.sites import Attribution, attribute
from lab.cost.sizes import Sizes
from lab.layout import RewriteMap
from lab.store.cost_rows import CostRow

MOST_PLACES = 3


@dataclass(frozen=True)
class Measured:
    """An execution, the bytes of code of its image (executable sections and what a rewriter put out of line), and what
    else its image takes."""

    profile: Profile
    text_bytes: int
    sizes: Sizes


@dataclass(frozen=True)
class Cost:
    """A row, with what it was summed from.  ``sites``: None where nothing was rewritten.  ``doubts``: in words."""

    row: CostRow
    functions: list[FunctionCost]
    sites: Attribution | None
    doubts: list[str]
    sizes: Sizes
    base_sizes: Sizes


def cost_of(key: dict[str, str], base: Measured, source: Profile, after: Measured, rewrite: RewriteMap | None) -> Cost:
    """*base*: the program without the proposal; *source*: as compiled for it; *after*: as it is measured.

    *key*: the row's names.  EngineError where base, compiler, sites and the rest do not sum to what was executed."""
    sites = attribute(source, after.profile, rewrite) if rewrite and source is not after.profile else None
    functions = function_costs(base.profile, after.profile, source.image, rewrite if sites else None)
    ours, theirs = after.profile, base.profile
    compiled = source.totals - theirs.totals
    added = sites.added.instructions if sites else 0
    elsewhere = sites.elsewhere.instructions if sites else 0
    counted: dict[str, Any] = asdict(ours.totals)
    counted |= {f"base_{name}": value for name, value in asdict(theirs.totals).items()}
    names: dict[str, Any] = {**key, **_by_class(functions), **_sizes(after.sizes, base.sizes)}
    row = CostRow(
        **names, **counted, calls=theirs.calls, returns=theirs.returns, text_bytes=after.text_bytes,
        base_text_bytes=base.text_bytes, by_compiler=compiled.instructions, by_sites=added, elsewhere=elsewhere,
        per_entry=distribution(functions),
    )  # fmt: skip
    doubts = [*_doubts(base, after, sites), *source.doubts]
    return Cost(row, functions, sites, doubts, after.sizes, base.sizes)


def _sizes(after: Sizes, base: Sizes) -> dict[str, Any]:
    names = {"file_bytes": "file", "loaded_bytes": "loaded", "sections": "sections", "formats": "formats"}
    ours = {column: getattr(after, name) for column, name in names.items()}
    return ours | {f"base_{column}": getattr(base, name) for column, name in names.items()}


def _by_class(functions: list[FunctionCost]) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = {name: defaultdict(int) for name in ("entries", "base", "after")}
    for cost in functions:
        if cost.kind:
            sums["entries"][cost.kind] += cost.entries
            sums["base"][cost.kind] += cost.base.instructions
            sums["after"][cost.kind] += cost.after.instructions
    return {f"class_{name}": dict(sorted(found.items())) for name, found in sums.items()}


def _doubts(base: Measured, after: Measured, sites: Attribution | None) -> list[str]:
    ours, theirs = after.profile, base.profile
    found = list(dict.fromkeys([*theirs.doubts, *ours.doubts]))
    if ours.calls != theirs.calls:
        differ = f"{ours.calls} calls, {theirs.calls} without the proposal"
        found.append(f"{differ}; per-call costs divide by the latter")
    if sites and sites.moved:
        places = ", ".join(ours.image.locate(pc) for pc in list(sites.moved)[:MOST_PLACES])
        change = f"{sites.elsewhere.instructions:+d} instructions in all"
        found.append(f"{len(sites.moved)} original instructions execute more or less often ({change}): {places}")
    return found
