"""The verdict tables of a run, one per architecture and mode; and beside them what refusals were worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lab.report.sums import GroupSums, Sum
from lab.report.text import Line, count, share, table, wrap
from lab.store.rows import DOUBTS, VERDICTS

HEADER = ("exact", "refused", "MISSING", "extra", "crash", "MISSING PCs")
MODES = {
    "boundary": "before every executed instruction, as if interrupted there",
    "call": "directly after every call, as stack_trace_save() sees it",
    "inject": "inside the handler of an exception really taken, counted where it interrupted",
    "blocked": "at every switch away from a task, from what the switch saved",
}
ORACLE = "oracle"
"""The unwinder that is told the truth.  Where it is exact at every stop of a run, one line says so."""

ALL_CODE, OWN_CODE = "all code", "without inserted code"

Block = tuple[tuple[str, tuple[str, ...]], ...]
"""What the lines of one proposal say: (unwinder, cells)."""
Name = tuple[str, str]
"""(proposal, ALL_CODE or OWN_CODE or "" where there is no difference)."""


def oracle_is_exact(groups: Sequence[GroupSums]) -> bool:
    """Whether the run has an oracle, and it is exact at every stop."""
    sums = [item for group in groups for item in group.sums.values() if item.unwinder == ORACLE]
    return bool(sums) and all(item.verdicts["exact"] == item.stops for item in sums)


def oracle_line(groups: Sequence[GroupSums]) -> str:
    """That one line."""
    stops = sum(item.stops for group in groups for item in group.sums.values() if item.unwinder == ORACLE)
    return f"oracle (a check of the lab itself): exact at all {stops} stops"


def verdict_table(group: GroupSums, title: str, without: str | None) -> Iterator[str]:
    """Heading and table of one group; the unwinder *without* is left out.

    Proposals whose lines are all the same share them.
    """
    mode = group.group[2]
    stops, pcs = (sum(image[i] for image in group.images.values()) for i in (0, 1))
    yield from wrap(f"== {title}, {mode} stops ==")
    if mode in MODES:
        yield f"({MODES[mode]})"
    yield f"{count(len(group.images), 'image')}, {count(stops, 'stop')}, {count(pcs, 'PC')}"
    blocks: dict[Block, list[Name]] = {}
    for proposal in group.proposals:
        sums = [item for item in group.of(proposal) if item.unwinder != without]
        whole, own = _block(sums, _whole), _block(sums, _own)
        if whole == own:
            blocks.setdefault(whole, []).append((proposal, ""))
        else:
            blocks.setdefault(whole, []).append((proposal, ALL_CODE))
            blocks.setdefault(own, []).append((proposal, OWN_CODE))
    lines = [*_lines(blocks)]
    yield from table(HEADER, lines) if lines else ()


def refusal_table(groups: Sequence[GroupSums], title: Callable[[GroupSums], str]) -> list[str]:
    """covers, and what refusals were worth; rows that say nothing new are left to one sentence."""
    lines: list[Line] = []
    plain = 0
    for group in groups:
        blocks: dict[Block, list[Name]] = {}
        for proposal in group.proposals:
            telling = [i for i in group.of(proposal) if i.verdicts["refused"] or i.covers != i.verdicts["exact"]]
            plain += len(group.of(proposal)) - len(telling)
            blocks.setdefault(_block(telling, _doubts), []).append((proposal, ""))
        lines += _lines(blocks, f"{title(group)}, {group.group[2]} stops, ")
    rest = [f"{'other rows' if lines else 'all rows'}: no refusals, and covers = exact"] if plain else []
    return [*(table(("covers", "refusals", *DOUBTS), lines) if lines else ()), *rest]


def pcs_text(pcs: int, functions: int) -> str:
    """How many PCs in how many functions."""
    return f"{pcs} in {functions} fn" if pcs else "0"


def shares(verdicts: dict[str, int], stops: int) -> tuple[str, ...]:
    """The share of each verdict, in the tables' order."""
    return tuple(share(verdicts[verdict], stops) for verdict in VERDICTS)


def _lines(blocks: dict[Block, list[Name]], before: str = "") -> Iterator[Line]:
    """Each block under the names of its proposals; a block without lines is left out."""
    for block, names in blocks.items():
        if block:
            yield Line(before + ", ".join(_joined(names)))
            yield from (Line(f" {unwinder}", cells) for unwinder, cells in block)


def _joined(names: Sequence[Name]) -> Iterator[str]:
    """The proposals of each kind of code, then the kind."""
    for kind in dict.fromkeys(kind for _, kind in names):
        yield from (proposal for proposal, its in names if its == kind)
        if kind:
            yield kind


def _block(sums: Sequence[Sum], cells: Callable[[Sum], tuple[str, ...]]) -> Block:
    return tuple((item.unwinder, cells(item)) for item in sums)


def _whole(item: Sum) -> tuple[str, ...]:
    return (*shares(item.verdicts, item.stops), pcs_text(item.missing_pcs, item.missing_functions))


def _own(item: Sum) -> tuple[str, ...]:
    missing = pcs_text(len(item.own_missing), len(item.own_missing_functions))
    return (*shares(item.own, item.own_stops), missing)


def _doubts(item: Sum) -> tuple[str, ...]:
    refused = item.verdicts["refused"]
    doubts = (share(item.doubt[kind], refused) if refused else "-" for kind in DOUBTS)
    return (share(item.covers, item.stops), str(refused), *doubts)
