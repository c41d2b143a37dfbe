"""The strips of all functions with failures, or of those asked for: what the mail's one strip is the first of."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence

from lab.errors import InputError
from lab.report.strip import OUT_OF_LINE, Place, strip
from lab.report.text import arch_title, clean, count, wrap
from lab.store.rows import RunResult, StackRow, VerdictRow

MOST_STRIPS = 5
"""Functions shown of each architecture, compiler and mode, where no others are asked for."""
FAILURES = ("missing", "extra", "crash")


def strip_section(found: RunResult, functions: Sequence[str] = (), most: int = MOST_STRIPS) -> Iterator[str]:
    """A strip for each function called one of *functions*, or for the *most* worst of each (arch, compiler, mode).

    Worst is most MISSING stops, then most extra, then most crash.  InputError where a name is no function of the run.
    """
    rows: dict[Place, list[VerdictRow]] = defaultdict(list)
    for row in found.verdicts:
        if row.region not in OUT_OF_LINE:
            rows[row.arch, row.compiler, row.mode, row.workload, row.proposal, row.function].append(row)
    known = {place[5] for place in rows}
    if unknown := [name for name in functions if name not in known]:
        raise InputError(*(f"no stop is in a function '{name}'{_near(name, known)}" for name in unknown))
    worst = {place: score for place, own in rows.items() if any(score := _score(own))}
    ranked = sorted(worst, key=lambda place: ([-stops for stops in worst[place]], place))
    chosen = [place for place in sorted(rows) if place[5] in functions] if functions else ranked
    order = list(dict.fromkeys(cell.unwinder for cell in found.cells))
    lines = _Lines(found, rows, order)
    for group in sorted({place[:3] for place in chosen}):
        own = [place for place in chosen if place[:3] == group]
        arch, compiler, mode = group
        yield ""
        failing = sum(1 for place in worst if place[:3] == group)
        of = sum(1 for place in rows if place[:3] == group)
        yield from wrap(f"{arch_title(arch)}, {compiler}, {mode} stops: wrong in {failing} of {count(of, 'function')}")
        for place in own if functions else own[:most]:
            yield from lines.of(place)


def _near(name: str, known: set[str]) -> str:
    """The nearest of the run's functions; there are too many to list."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _score(rows: Sequence[VerdictRow]) -> tuple[int, ...]:
    return tuple(sum(row.stops for row in rows if row.verdict == verdict) for verdict in FAILURES)


class _Lines:
    """The strip of a place, with what the run knows of its instructions."""

    def __init__(self, found: RunResult, rows: dict[Place, list[VerdictRow]], order: Sequence[str]) -> None:
        self._rows, self._order = rows, order
        self._stacks: dict[tuple[str, ...], list[StackRow]] = defaultdict(list)
        for kept in found.stacks:
            self._stacks[kept.arch, kept.compiler, kept.mode, kept.workload, kept.proposal].append(kept)
        self._code = {(r.arch, r.compiler, r.workload, r.proposal, r.pc): (r.text, r.source) for r in found.code}

    def of(self, place: Place) -> Iterator[str]:
        arch, compiler, _, workload, proposal, function = place
        rows = self._rows[place]
        pcs = {row.pc for row in rows}
        code = {pc: self._code[key] for pc in pcs if (key := (arch, compiler, workload, proposal, pc)) in self._code}
        first = code.get(min(pcs), ("", ""))[1]
        source = f" ({clean(first)})" if first else ""
        stacks = [kept for kept in self._stacks[place[:5]] if kept.pc in pcs]
        title = f"{function}{source} in {workload}, {proposal}"
        texts = {pc: text for pc, (text, _) in code.items()}
        yield ""
        yield from strip(place, rows, stacks, self._order, title=title, whole=True, code=texts)
