"""The order of flavours and modes beside the literature's, in exact counts and, where it was measured, in time.

What the literature says (figures are its own, of other machines and programs):

* A parallel shadow stack costs less than one reached through a pointer in memory: about 3.5 % against 10 % on x86
  (Dang, Maniatis, Wagner: The Performance Cost of Shadow Stacks and Stack Canaries, ASIACCS 2015).
* Code written over NOPs that the compiler left costs less than a jump to a trampoline and back, which executes two
  more jumps for each sequence.
* Inserting a push and a pop into functions that call costs what the compiler's own shadow call stack does
  (-fsanitize=shadow-call-stack writes the same two instructions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lab.cost.collect import Found
from lab.cost.native.measure import NativeRow
from lab.cost.native.stats import compare
from lab.cost.sites import ENTRY_STUB

UNDER, EQUAL = "under", "equal to"
SAME = Fraction(1, 100)
"""Of what the second adds: what is nearer than this counts as equal."""


@dataclass(frozen=True)
class Claim:
    """What is said to hold: the first of each of ``pairs`` costs less than (UNDER), or what (EQUAL), the second."""

    title: str
    relation: str
    pairs: tuple[tuple[str, str], ...]


PARALLEL = Claim(
    "parallel under memory-pointer",
    UNDER,
    tuple((f"{mode}-parallel-use", f"{mode}-memory-use") for mode in ("insertion", "detour", "xray", "pac")),
)
NOP_FILL = Claim(
    "NOP fill under detour",
    UNDER,
    tuple(
        (f"{fill}-{flavour}-use", f"detour-{flavour}-use")
        for fill in ("xray", "pac")
        for flavour in ("register", "parallel", "memory")
    ),
)
COMPILER = Claim(
    "insertion, leaves skipped, equal to the compiler's own", EQUAL, (("insertion-register-use-nonleaf", "scs-clang"),)
)
CLAIMS = (PARALLEL, NOP_FILL, COMPILER)


def proposals() -> tuple[str, ...]:
    """Those that the claims are about, in their order."""
    return tuple(dict.fromkeys(name for claim in CLAIMS for pair in claim.pairs for name in pair))


@dataclass(frozen=True)
class Ordered:
    """One pair of a claim on one architecture, over ``workloads`` programs that both have.

    ``first`` and ``second``: instructions added per executed call, without the entry stub, which a run executes once.
    ``first_alike`` and ``second_alike``: per entry of the functions that both change, so that neither gains by leaving
    functions out; ``entries`` are theirs.  ``holds`` and ``holds_alike``: whether they stand as claimed.
    ``as_said``, ``other``, ``level``: programs in which native time agrees, disagrees, or tells the two not apart."""

    arch: str
    claim: str
    pair: tuple[str, str]
    workloads: int
    first: Fraction
    second: Fraction
    holds: bool
    entries: int
    first_alike: Fraction | None
    second_alike: Fraction | None
    holds_alike: bool | None
    as_said: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    level: tuple[str, ...] = ()


def ordered(found: Sequence[Found], native: Sequence[NativeRow] = ()) -> list[Ordered]:
    """Every claim's pairs that *found* has, by architecture."""
    arches = dict.fromkeys(one.row.arch for one in found)
    rows = (_ordered(arch, claim, pair, found, native) for arch in arches for claim in CLAIMS for pair in claim.pairs)
    return [row for row in rows if row is not None]


def _ordered(
    arch: str, claim: Claim, pair: tuple[str, str], found: Sequence[Found], native: Sequence[NativeRow]
) -> Ordered | None:
    firsts, seconds = (
        {one.row.workload: one for one in found if (one.row.arch, one.row.proposal) == (arch, name)} for name in pair
    )
    both = [(firsts[name], seconds[name]) for name in sorted({*firsts} & {*seconds})]
    calls = sum(one.row.calls for one, _ in both)
    if not calls:
        return None
    first, second = (Fraction(sum(_added(couple[at]) for couple in both), calls) for at in (0, 1))
    entries, one, two = _alike(both)
    said = list(_native(claim, pair, [row for row in native if row.arch == arch]))
    return Ordered(
        arch, claim.title, pair, len(both), first, second, _holds(claim, first, second), entries,
        Fraction(one, entries) if entries else None, Fraction(two, entries) if entries else None,
        _holds(claim, Fraction(one), Fraction(two)) if entries else None,
        *(tuple(program for program, how in said if how == each) for each in ("said", "other", "level")),
    )  # fmt: skip


def _holds(claim: Claim, first: Fraction, second: Fraction) -> bool:
    return first < second if claim.relation == UNDER else abs(first - second) <= SAME * second


def _added(one: Found) -> int:
    """Instructions added in functions: the entry stub runs once a program, whatever the proposal costs a call."""
    stubs = sum(site.added.instructions for site in one.sites if site.function == ENTRY_STUB)
    return one.row.added_instructions - stubs


def _alike(both: Sequence[tuple[Found, Found]]) -> tuple[int, int, int]:
    """Over the functions that both change: entries, and what each adds."""
    sums = [0, 0, 0]
    for one, two in both:
        theirs = {cost.function: cost for cost in two.functions}
        for cost in one.functions:
            other = theirs.get(cost.function)
            if other and cost.entries and cost.after != cost.base and other.after != other.base:
                changes = (c.after.instructions - c.base.instructions for c in (cost, other))
                sums = [a + b for a, b in zip(sums, (cost.entries, *changes), strict=True)]
    return sums[0], sums[1], sums[2]


def _native(claim: Claim, pair: tuple[str, str], rows: Sequence[NativeRow]) -> Iterator[tuple[str, str]]:
    """(program, ``said``, ``other`` or ``level``): the samples of the two were taken in turns, so they compare."""
    decide: Callable[[str], str] = {
        UNDER: {"+": "said", "-": "other", "~": "level"},
        EQUAL: {"+": "other", "-": "other", "~": "said"},
    }[claim.relation].__getitem__
    for program in dict.fromkeys(row.program for row in rows):
        own = {row.proposal: row for row in rows if row.program == program}
        if pair[0] in own and pair[1] in own:
            yield program, decide(compare(own[pair[0]].samples, own[pair[1]].samples).verdict)
