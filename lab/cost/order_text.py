"""The order of flavours and modes as a table, and in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from lab.cost.order import CLAIMS, Ordered
from lab.report.text import Line, arch_title, mailable, table, wrap

COLUMNS = ("per call", "same functions", "native")


def render(rows: Sequence[Ordered], *, timed: bool) -> str:
    """A line for each pair: what each adds per call, what per entry of the functions that both change (``!`` where the
    order is not the one claimed), and in how many programs native time says the same."""
    lines = ["Order of flavours and modes beside the literature's"]
    lines += wrap(
        "instructions added, first / second (exact, emulated, without the entry stub): per executed call, per entry "
        "of the functions both change; !: not as the literature says; native: programs whose time says so / the "
        "contrary / neither"
    )
    body: list[Line] = []
    for arch in dict.fromkeys(row.arch for row in rows):
        for claim in CLAIMS:
            own = [row for row in rows if (row.arch, row.claim) == (arch, claim.title)]
            if own:
                body.append(Line(f"{arch_title(arch)}: {claim.title}"))
                body += [Line(f" {_short(row)}", _cells(row)) for row in own]
    lines += table(COLUMNS, body)
    for row in rows:
        if row.other:
            lines += wrap(
                f"{arch_title(row.arch)}, {' / '.join(row.pair)}: time says otherwise in {', '.join(row.other)}"
            )
    if not timed:
        lines += wrap("native: not measured; add --native")
    return mailable(lines)


def _short(row: Ordered) -> str:
    """Both names, the second without what it begins with alike."""
    one, two = (name.split("-") for name in row.pair)
    return f"{row.pair[0]} / {two[1] if one[0] == two[0] else two[0]}" if len(two) == len(one) else " / ".join(row.pair)


def _cells(row: Ordered) -> tuple[str, ...]:
    times = (len(row.as_said), len(row.other), len(row.level))
    alike = _both(row.first_alike, row.second_alike, holds=row.holds_alike)
    native = "/".join(map(str, times)) if any(times) else "-"
    return (_both(row.first, row.second, holds=row.holds), alike, native)


def _both(first: Fraction | None, second: Fraction | None, *, holds: bool | None) -> str:
    if first is None or second is None:
        return "n/a"
    return f"{float(first):.2f}/{float(second):.2f}{' ' if holds else '!'}"


def to_json(rows: Sequence[Ordered]) -> dict[str, Any]:
    """Everything; numbers of instructions exact, as fractions."""
    return {"rows": [{name: _plain(value) for name, value in asdict(row).items()} for row in rows]}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Fraction) else value
