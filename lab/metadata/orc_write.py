"""ORC written: any rule table as one that ORC can say, and that as bytes."""

from __future__ import annotations

from lab.arch import Arch
from lab.errors import InputError
from lab.metadata.orc import ENTRY_SIZE, HEADERS, TERMINATOR, Entry, Layout, OrcSections, entry_of, pack, rule_of
from lab.metadata.rules import Flag, Format, Kind, Loss, Reason, Row, Rule, RuleTable, merged

_STEP = 4
_GAP = Rule(Kind.UNDEFINED)


def to_orc(table: RuleTable, arch: Arch, layout: Layout) -> RuleTable:
    """*table* as far as *layout* can say it, with the bytes its three sections would have.

    An entry holds up to the next one, so gaps become rows of kind UNDEFINED.  Losses: rows left out, by reason;
    rows kept without their mark that the return address is signed (RA_SIGNED)."""
    kept: list[Row] = []
    losses: list[Loss] = []
    for row in table.rows:
        entry = entry_of(row.rule, arch, layout)
        if isinstance(entry, Reason):
            losses.append(Loss(row.start, row.end, entry))
            continue
        if row.rule.flags & Flag.RA_SIGNED:
            losses.append(Loss(row.start, row.end, Reason.RA_SIGNED))
        kept.append(Row(row.start, row.end, rule_of(entry, arch)))
    rows = tuple(merged(_filled(merged(kept))))
    header = 0 if layout is Layout.V6_1 else len(next(iter(HEADERS)))
    size = (len(rows) + 1) * ENTRY_SIZE + header if rows else 0
    return RuleTable(Format.ORC, rows, _converted(table), size, tuple(losses))


def _converted(table: RuleTable) -> str:
    return f"converted from {table.origin}" if table.origin else ""


def _filled(rows: list[Row]) -> list[Row]:
    """*rows* with UNDEFINED ones between them."""
    found: list[Row] = []
    for row in rows:
        if found and found[-1].end < row.start:
            found.append(Row(found[-1].end, row.start, _GAP))
        found.append(row)
    return found


def write_orc(table: RuleTable, arch: Arch, layout: Layout, ip_address: int) -> OrcSections:
    """*table*, which ORC can say (``to_orc``), as sections with .orc_unwind_ip loaded at *ip_address*.

    ValueError for a row the format cannot say; InputError where code is more than 2 GiB from the section."""
    entries: list[tuple[int, Entry]] = []
    end = None
    for row in table.rows:
        entry = entry_of(row.rule, arch, layout)
        if isinstance(entry, Reason):
            raise ValueError(f"row at {row.start:#x}: {entry.name}")
        if end is not None and end < row.start:
            entries.append((end, TERMINATOR))
        entries.append((row.start, entry))
        end = row.end
    if end is not None:
        entries.append((end, TERMINATOR))
    places = [address - ip_address - _STEP * number for number, (address, _) in enumerate(entries)]
    if any(not -(1 << 31) <= place < 1 << 31 for place in places):
        raise InputError(f"code is more than 2 GiB away from .orc_unwind_ip at {ip_address:#x}; link them nearer")
    header = next((header for header, known in HEADERS.items() if known is layout), b"")
    return OrcSections(
        b"".join(pack(entry, layout) for _, entry in entries),
        b"".join(place.to_bytes(_STEP, "little", signed=True) for place in places),
        header if entries else b"",
    )
