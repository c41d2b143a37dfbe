"""Is the rewritten image what the map says, and nothing else?  Static checks: nothing runs here.

They know the map, both images and the sequences of the flavour, not the plan that made the image; of the rewriter they
use the encoders (to encode anew and compare) and nothing that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.errors import EngineError, InputError
from lab.images.image import Image
from lab.layout import RewriteMap
from rewriters.verify import loaded
from rewriters.verify.carried import Carriage, compare
from rewriters.verify.census import check_census
from rewriters.verify.pair import Pair
from rewriters.verify.pairs import Walk, walk
from rewriters.verify.references import References
from rewriters.verify.rows import check_cover, check_rows
from rewriters.verify.symbols import check_symbols
from rewriters.verify.units import Units, take_apart
from rewriters.verify.unwind import check_unwinding
from rewriters.verify.ways import Ways, check_dead, check_ways

__all__ = ["CHECKS", "require", "static_checks"]

_SHOWN = 3


@dataclass(frozen=True)
class _Work:
    """What several checks need, worked out when first asked for."""

    pair: Pair

    @cached_property
    def units(self) -> Units:
        """The new text, taken apart."""
        return take_apart(self.pair)

    @cached_property
    def carriage(self) -> Carriage:
        """Carried code, compared."""
        return compare(self.pair)

    @cached_property
    def ways(self) -> Ways:
        """Where control goes."""
        return Ways(self.pair, self.units, self.carriage)

    @cached_property
    def walk(self) -> Walk:
        """What is pushed where."""
        return walk(self.ways)


Check = Callable[[_Work], Iterator[str]]

CHECKS: dict[str, Check] = {
    "map belongs to these images": lambda work: loaded.check_sources(work.pair),
    "bytes outside the plan unchanged": lambda work: loaded.check_outside(work.pair),
    "segments kept": lambda work: loaded.check_segments(work.pair),
    "inserted ranges stand where they belong": lambda work: loaded.check_ranges(work.pair),
    "new text is the templates": lambda work: iter(work.units.problems),
    "carried code means the same": lambda work: iter(work.carriage.problems),
    "what is named is what was named": lambda work: References(work.ways).check(),
    "control goes where it went": lambda work: check_ways(work.ways),
    "old bodies trap": lambda work: check_dead(work.pair),
    "entry reaches the old entry": lambda work: loaded.check_entry(work.pair, work.units),
    "pushed once and popped once": lambda work: work.walk.problems(),
    "layout rows cover the code": lambda work: check_cover(work.pair),
    "layout rows are true": lambda work: check_rows(work.walk),
    "unwind information follows the code": lambda work: check_unwinding(work.ways),
    "symbols follow the code": lambda work: check_symbols(work.ways),
    "census accounts for every function": lambda work: check_census(work.walk),
}
"""Name -> check, in the order in which they are reported."""


def static_checks(old: Image, new: Image, rewrite_map: RewriteMap) -> dict[str, Any]:
    """Run every check on *new* against *old*: name -> {"ok", "problems" (how many), "first" (up to three)}."""
    results: dict[str, Any] = {}
    work = _Work(Pair(old, new, rewrite_map))
    for name, check in CHECKS.items():
        try:
            problems = list(check(work))
        except InputError as error:  # the map names addresses the image does not have
            problems = [str(error)]
        results[name] = {"ok": not problems, "problems": len(problems), "first": problems[:_SHOWN]}
    return results


def require(results: dict[str, Any], where: str) -> None:
    """EngineError naming *where* and the first failed check, if any failed."""
    for name, result in results.items():
        if not result["ok"]:
            raise EngineError(f"{where}: the rewrite failed its own check '{name}': {result['first'][0]}")
