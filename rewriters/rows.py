"""Layout rows put in order: what covers code nobody asked about, and neighbours with one answer joined."""

from __future__ import annotations

from collections.abc import Iterable

from lab.layout import LayoutRow, Where

NO_FUNCTION = "in no function, or data"


def gaps(spans: Iterable[tuple[int, int]], rows: Iterable[LayoutRow]) -> list[LayoutRow]:
    """Rows that say "unknown" for the parts of *spans*, [start, end) each, that no row covers.  Spans may overlap."""
    found = []
    ordered = sorted(rows, key=lambda row: row.start)
    at = 0
    for low, end in sorted(spans):
        start = at = max(low, at)
        for row in ordered:
            if row.end <= start or row.start >= end:
                continue
            if row.start > at:
                found.append(LayoutRow(at, row.start, Where.UNKNOWN, 0, NO_FUNCTION))
            at = max(at, row.end)
        if at < end:
            found.append(LayoutRow(at, end, Where.UNKNOWN, 0, NO_FUNCTION))
            at = end
    return found


def merged(rows: Iterable[LayoutRow]) -> list[LayoutRow]:
    """*rows* sorted by address, adjacent ones with one answer joined."""
    joined: list[LayoutRow] = []
    for row in sorted(rows, key=lambda r: r.start):
        last = joined[-1] if joined else None
        same = last is not None and (last.where, last.offset, last.reason) == (row.where, row.offset, row.reason)
        if last is not None and same and last.end == row.start:
            joined[-1] = LayoutRow(last.start, row.end, row.where, row.offset, row.reason)
        else:
            joined.append(row)
    return joined
