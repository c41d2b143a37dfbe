"""unwindlab census: what each mode of the rewriter would do with an image, and what it would have to understand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from lab.commands.common import json_option, print_json
from rewriters import REWRITERS, all_flavours

_EXAMPLES = 4


@click.command("census", short_help="Say what a rewrite would instrument, and why not the rest.")
@click.argument("source", metavar="IMAGE", type=click.Path(path_type=Path))
@click.option("--mode", "modes", multiple=True, type=click.Choice(REWRITERS), help="Repeatable (default: all).")
@click.option(
    "--flavour", default="parallel", show_default=True, type=click.Choice([spec.name for spec in all_flavours()])
)
@click.option("--policy", default="use", show_default=True, type=click.Choice(["record", "use", "check"]))
@click.option("--leaves", default="all", show_default=True, type=click.Choice(["all", "skip"]))
@json_option
def command(*, source: Path, modes: tuple[str, ...], flavour: str, policy: str, leaves: str, as_json: bool) -> None:
    """For each mode: functions instrumented, instructions that had to be decoded and understood, processor time, and
    every function left out with its reason.  Nothing is written and nothing is run."""
    from lab.census import take

    image, rows = take(source, modes or REWRITERS, flavour, policy, leaves)
    if as_json:
        print_json({"image": image, "rows": rows})
        return
    click.echo(f"{source}: {image['arch']}, {image['functions']} functions by {image['functions_from']}")
    for line in _table(rows):
        click.echo(line)
    for row in rows:
        for line in _reasons(row):
            click.echo(line)


_COLUMNS = ("mode", "instrumented", "of callers", "decoded", "understood", "decide", "write", "check")


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    cells = [list(_COLUMNS)]
    for row in rows:
        if row["refused"]:
            cells.append([row["mode"], f"refused: {row['refused']}"])
            continue
        share = f"{row['calling_instrumented']}/{row['calling']}"
        counts = [str(row["instrumented"]), share, str(row["decoded"]), str(row["understood"])]
        cells.append([row["mode"], *counts, *(f"{row[name]:.2f} s" for name in ("deciding", "writing", "checking"))])
    whole = [line for line in cells if len(line) == len(_COLUMNS)]
    widths = [max(len(line[i]) for line in whole) for i in range(len(_COLUMNS))]
    for line in cells:
        padded = [line[0].ljust(max(widths[0], 9)), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=False))]
        yield "  ".join(padded).rstrip()


def _reasons(row: dict[str, Any]) -> Iterator[str]:
    """Left-out functions of one mode, by reason, most frequent first."""
    by_reason: dict[str, list[str]] = {}
    for out in row["left_out"]:
        by_reason.setdefault(out["reason"], []).append(out["function"] or f"{out['address']:#x}")
    if by_reason:
        yield f"left out by {row['mode']}:"
    for reason, names in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
        yield f"  {len(names):5}  {reason}: {', '.join(names[:_EXAMPLES])}{more}"
