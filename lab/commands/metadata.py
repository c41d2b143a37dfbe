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
@json_option
def command(*, source: Path, base: str | None, as_json: bool) -> None:
    """For each unwind format of the image, and for what it would be in ORC (layouts of Linux 6.1 and 6.4) and SFrame
    (versions 1 and 2): rows, bytes, the share of code it covers, and what the conversion loses, by reason.  Tables
    that cannot be read are named, and the exit code is 2."""
    from lab.errors import InputError
    from lab.metadata.rules import Format
    from lab.metadata.survey import survey
    from lab.untrusted import TABLES, apart, load_untrusted

    image = load_untrusted(source)
    rows = apart(TABLES, source, survey, image, Format[base.upper()] if base else None)
    if as_json:
        print_json(_json(image, rows))
    else:
        for line in _lines(image, rows):
            click.echo(line)
    problems = [row.problem for row in rows if row.problem]
    if problems:
        raise InputError(*problems)


def _json(image: Image, rows: list[FormatRow]) -> dict[str, Any]:
    """Sizes in bytes, addresses as [start, end) numbers."""
    formats = [
        {
            "format": row.name,
            "from": row.origin,
            "problem": row.problem,
            "rows": row.rows,
            "bytes": row.size,
            "covered_bytes": row.covered,
            "covered_percent": _percent(row, image),
            "lost": [
                {
                    "reason": lost.reason.name.lower(),
                    "rows": len(lost.ranges),
                    "bytes": lost.bytes,
                    "ranges": lost.ranges,
                }
                for lost in row.lost
            ],
        }
        for row in rows
    ]
    return {"image": str(image.path), "arch": image.arch.name, "text_bytes": image.text_bytes, "formats": formats}


def _percent(row: FormatRow, image: Image) -> float | None:
    return round(100 * row.covered / image.text_bytes, 2) if image.text_bytes else None


def _lines(image: Image, rows: list[FormatRow]) -> Iterator[str]:
    yield f"{image.path}: {image.arch.name}, {image.text_bytes} bytes of code"
    if not rows:
        yield "no unwind tables: neither .eh_frame nor .orc_unwind nor .sframe"
        return
    yield from _table(image, rows)
    for row in rows:
        if row.lost:
            yield f"lost in {row.name}, {row.origin}:"
            yield from _losses(image, row)


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
    from lab.metadata.survey import TEXTS

    for lost in row.lost:
        places = ", ".join(image.locate(start) for start, _ in lost.ranges[:_EXAMPLES])
        more = f" and {len(lost.ranges) - _EXAMPLES} more" if len(lost.ranges) > _EXAMPLES else ""
        rows = "row, " if len(lost.ranges) == 1 else "rows,"
        yield f"  {len(lost.ranges):5} {rows} {lost.bytes} bytes: {TEXTS[lost.reason]}: {places}{more}"
