"""The size tables: what a proposal adds to an image, and what each unwind format takes for the same code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from lab.report.text import Line, arch_title, change, table, wrap
from lab.store.cost_rows import CostRow

COLUMNS = (".text", "eh_frame", "sleds", "file", "loaded", ".text%")
FORMATS = ("dwarf", "orc 6.1", "orc 6.4", "sframe 1", "sframe 2")
"""Columns of the second table: .eh_frame with its header, then what a conversion takes."""


def size_table(rows: Sequence[CostRow]) -> list[str]:
    """Bytes against each row's base, summed over workloads; nothing where the rows did not keep their sizes."""
    known = [row for row in rows if row.file_bytes is not None]
    if not known:
        return []
    lines = ["", "Static size, bytes added"]
    lines += wrap("eh_frame: with its header; sleds: XRay's records; loaded: segments in memory, storage of shadow "
                  "stacks included; .text%: code against base", 2)  # fmt: skip
    body: list[Line] = []
    for arch, own in _grouped(known, "arch"):
        body.append(Line(arch_title(arch)))
        body += [Line(f" {name}", _cells(found)) for name, found in _grouped(own, "proposal")]
    return [*lines, *table(COLUMNS, body)]


def format_table(rows: Sequence[CostRow]) -> list[str]:
    """Metadata bytes per KiB of code by format: of every proposal's images, one line where all of them agree."""
    known = [row for row in rows if row.formats]
    if not known:
        return []
    body: list[Line] = []
    for arch, own in _grouped(known, "arch"):
        body.append(Line(arch_title(arch)))
        body += [Line(f" {name}", _densities(found)) for name, found in _grouped(own, "proposal")]
    lines = ["", *wrap("Unwind metadata by format on the same images, bytes per KiB of code")]
    lines += wrap("dwarf: .eh_frame with its header as it is; the others: converted from it, losses: docs/metadata.md")
    return [*lines, *table(FORMATS, body)]


def _grouped(rows: Iterable[CostRow], name: str) -> list[tuple[str, list[CostRow]]]:
    found: dict[str, list[CostRow]] = {}
    for row in rows:
        found.setdefault(getattr(row, name), []).append(row)
    return list(found.items())


def _cells(rows: Sequence[CostRow]) -> tuple[str, ...]:
    def metadata(group: str) -> str:
        return _added(sum((row.sections or {}).get(group, 0) - (row.base_sections or {}).get(group, 0) for row in rows))

    text = sum(row.text_added for row in rows)
    file = sum((row.file_bytes or 0) - (row.base_file_bytes or 0) for row in rows)
    loaded = sum((row.loaded_bytes or 0) - (row.base_loaded_bytes or 0) for row in rows)
    percent = change(sum(row.base_text_bytes for row in rows), sum(row.text_bytes for row in rows))
    return (_added(text), metadata("eh_frame"), metadata("sled records"), _added(file), _added(loaded), percent)


def _added(value: int) -> str:
    return f"{value:+d}" if value else "0"


def densities(rows: Sequence[CostRow]) -> dict[str, Fraction | None]:
    """Bytes per KiB of code by format, summed over *rows*; None where some image's could not be told."""
    text = sum(row.text_bytes for row in rows)
    found: dict[str, Fraction | None] = {}
    for name in FORMATS:
        known = [(row.formats or {}).get(name) for row in rows]
        sizes = [size for size in known if size is not None]
        found[name] = Fraction(1024 * sum(sizes), text) if text and len(sizes) == len(rows) else None
    return found


def _densities(rows: Sequence[CostRow]) -> tuple[str, ...]:
    return tuple("n/a" if value is None else f"{float(value):.1f}" for value in densities(rows).values())
