"""What one requirement is made of: which stops it is about, and what must not happen there.

A requirement is data.  ``where`` and ``unless`` name columns of a verdict row (lab.store.rows.VerdictRow) and the
values that are meant; a stop belongs to the requirement where every column of ``where`` has one of its values, and
where that is so for no entry of ``unless``.  Values of ``function`` are patterns as a shell's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

from lab.store.rows import VerdictRow

Values = Mapping[str, tuple[Any, ...]]
"""Column of a verdict row -> the values that are meant."""

COMPLETE: Final = frozenset({"exact", "extra"})
"""The verdicts of a trace that was called reliable and holds every live address."""
BREAKS: Final = {
    "missing": "called reliable, but a live caller is absent or an address is wrong",
    "extra": "called reliable, with functions that are not live or are there twice",
    "crash": "the unwinder failed: unmapped memory, no end, or outside its contract",
    "uncovered": "every live address is in it, but a live function is not among those that its addresses lie in",
}
"""What may break a requirement at a stop."""
NONE: Values = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One row of the table.

    ``id``: ``RS-<section of the document>-<word>``; ``title``: at most 42 characters; ``demand``: what is asked, in
    one sentence.  ``breaks``: keys of BREAKS.  ``modes``: the kinds of stop that count.  ``rows``: the field's rows
    whose workloads provoke it, but for those that have a row of ``without`` too, where something else goes wrong, and
    with ``interrupts_alone`` but for those whose header says that a design fails at a call, where nothing interrupts;
    ``workloads``: further ones by name; neither: whatever the other requirements run.
    ``proposals``: images that a design without a shadow stack is looked at on; (): on all.  ``arches``: where the
    mechanism exists, and ``elsewhere``: why not on the others.  ``sited``: in a workload whose header claims
    something of functions, those alone count: the mechanism is there.  ``metadata``: it is about designs that read
    metadata; ``shadow``: about those that read a shadow stack kept by inserted code.  ``answers``: it asks for answers
    instead: broken where a design is nowhere exact and some of its refusals were needless.  ``recommended``: the
    document says should.  ``lacking``: why the corpus has nothing for it, where that is so.
    """

    id: str
    title: str
    demand: str
    breaks: tuple[str, ...] = ("missing",)
    where: Values = field(default_factory=lambda: NONE)
    unless: tuple[Values, ...] = ()
    modes: tuple[str, ...] = ("boundary", "call", "inject", "blocked")
    rows: tuple[int, ...] = ()
    without: tuple[int, ...] = ()
    interrupts_alone: bool = False
    workloads: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ("base",)
    arches: tuple[str, ...] = ("aarch64", "x86_64")
    elsewhere: str = ""
    sited: bool = False
    metadata: bool = False
    shadow: bool = False
    answers: bool = False
    recommended: bool = False
    lacking: str = ""

    @property
    def section(self) -> str:
        """The document's section: ``4.3``."""
        return self.id.split("-")[1]

    @property
    def everywhere(self) -> bool:
        """Whether it names no workload of its own."""
        return not (self.rows or self.workloads)

    def matches(self, row: VerdictRow) -> bool:
        """Whether the stops of *row* are among those it is about, the image aside."""
        return row.mode in self.modes and _fits(row, self.where) and not any(_fits(row, each) for each in self.unless)

    def broken_by(self, row: VerdictRow) -> bool:
        """Whether the stops of *row* break it."""
        uncovered = "uncovered" in self.breaks and row.verdict in COMPLETE and not row.covers
        return uncovered or row.verdict in self.breaks


def _fits(row: VerdictRow, wanted: Values) -> bool:
    return all(_has(row, column, values) for column, values in wanted.items())


def _has(row: VerdictRow, column: str, values: tuple[Any, ...]) -> bool:
    value = getattr(row, column)
    if column == "function":
        return any(fnmatchcase(value, pattern) for pattern in values)
    return value in values
