"""unwindlab metadata: what each unwind format says of an image, how large it is, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.commands.common import json_option, print_json

if TYPE_CHECKING:
    from lab.images.image import Image
    from lab.metadata.survey import FormatRow

Ranges = tuple[tuple[int, int], ...]
_EXAMPLES = 3
_COLUMNS = ("format", "from", "rows", "bytes", "covers")


@click.command("metadata", short_help="Compare unwind formats on an image: size, coverage, losses.")
@click.argument("source", metavar="IMAGE", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "base",
    type=click.Choice(["dwarf", "orc", "sframe"]),
    help="Convert this one (default: the first there is).",
)
@click.option("--at", "place", metavar="PC", help="Show each format's rule there: an address, main or main+0x1c.")
@json_option
def command(*, source: Path, base: str | None, place: str | None, as_json: bool) -> None:
    """For each unwind format of the image, and for what it would be in ORC (layouts of Linux 6.1 and 6.4) and SFrame
    (versions 1 and 2): rows, bytes, the share of code it covers, and what the conversion loses, by reason.  Tables
    that cannot be read are named, and the exit code is 2."""
    from lab.errors import InputError
    from lab.metadata.rules import Format
    from lab.metadata.survey import survey
    from lab.untrusted import TABLES, apart, load_untrusted

    image = load_untrusted(source)
    pc = None if place is None else _address(image, place)
    rows = apart(TABLES, source, survey, image, Format[base.upper()] if base else None, pc or 0)
    if as_json:
        print_json(_json(image, rows, pc))
    else:
        for line in _lines(image, rows, pc):
            click.echo(line)
    problems = [row.problem for row in rows if row.problem]
    if problems:
        raise InputError(*problems)


def _address(image: Image, place: str) -> int:
    from lab.explain import parse_pc

    return parse_pc(image, place)


def _json(image: Image, rows: list[FormatRow], pc: int | None) -> dict[str, Any]:
    """Sizes in bytes, addresses as [start, end) numbers; ``rule``: that at *pc* in words, or null."""
    from lab.metadata.text import rule_text

    formats = [
        {
            "format": row.name,
            "from": row.origin,
            "problem": row.problem,
            "rows": row.rows,
            "bytes": row.size,
            "covered_bytes": row.covered,
            "covered_percent": _percent(row, image),
            "rule": None if pc is None or row.problem else rule_text(row.rule, image.arch),
            "lost": [
                {
                    "reason": lost.reason.name.lower(),
                    "rows": len(lost.ranges),
                    "bytes": lost.bytes,
                    "ranges": lost.ranges,
                }
                for lost in row.lost
            ],
            "below_sp": [{"slot": dead.what, "rows": len(dead.ranges), "ranges": dead.ranges} for dead in row.dead],
        }
        for row in rows
    ]
    return {"image": str(image.path), "arch": image.arch.name, "text_bytes": image.text_bytes, "formats": formats}


def _percent(row: FormatRow, image: Image) -> float | None:
    return round(100 * row.covered / image.text_bytes, 2) if image.text_bytes else None


def _lines(image: Image, rows: list[FormatRow], pc: int | None) -> Iterator[str]:
    from lab.metadata.text import rule_text

    yield f"{image.path}: {image.arch.name}, {image.text_bytes} bytes of code"
    if not rows:
        yield "no unwind tables: neither .eh_frame nor .orc_unwind nor .sframe"
        return
    yield from _table(image, rows)
    if pc is not None:
        yield f"at {image.locate(pc)} ({pc:#x}):"
        for row in rows:
            yield f"  {row.name:<8}  {'refused' if row.problem else rule_text(row.rule, image.arch)}"
    for first, names in _alike(rows):
        yield f"lost in {' and '.join(names)}, {first.origin}:"
        yield from _losses(image, first)
    for row in rows:
        for dead in row.dead if not row.origin.startswith("converted") else ():
            slots = f"{row.name}: {dead.what} in a slot below SP"
            yield f"{slots}: {_count(dead.ranges)}: {_places(image, dead.ranges)}"


def _alike(rows: list[FormatRow]) -> Iterator[tuple[FormatRow, list[str]]]:
    """(the first, the names of all) of rows that lose the same of the same source."""
    names: dict[tuple[Any, ...], list[str]] = {}
    firsts: dict[tuple[Any, ...], FormatRow] = {}
    for row in rows:
        if row.lost:
            names.setdefault((row.origin, row.lost), []).append(row.name)
            firsts.setdefault((row.origin, row.lost), row)
    return ((firsts[key], found) for key, found in names.items())


def _table(image: Image, rows: list[FormatRow]) -> Iterator[str]:
    cells = [_COLUMNS]
    for row in rows:
        percent = _percent(row, image)
        share = "refused" if row.problem else "-" if percent is None else f"{percent:.2f} %"
        cells.append((row.name, row.origin, str(row.rows), str(row.size), share))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        left = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
        yield "  ".join([*left, *right])


def _losses(image: Image, row: FormatRow) -> Iterator[str]:
    from lab.metadata.text import TEXTS

    for lost in row.lost:
        yield f"  {_count(lost.ranges, 5)}: {TEXTS[lost.reason]}: {_places(image, lost.ranges)}"


def _count(ranges: Ranges, width: int = 0) -> str:
    """Rows and bytes of code."""
    rows = "row, " if len(ranges) == 1 else "rows,"
    return f"{len(ranges):{width}} {rows} {sum(end - start for start, end in ranges)} bytes"


def _places(image: Image, ranges: Ranges) -> str:
    """The first places, and how many more there are."""
    more = f" and {len(ranges) - _EXAMPLES} more" if len(ranges) > _EXAMPLES else ""
    return ", ".join(image.locate(start) for start, _ in ranges[:_EXAMPLES]) + more
