"""unwindlab folded: the stacks of a stored run for flame graph tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.commands.common import (
    check_names,
    json_option,
    print_json,
    progress,
    results_option,
    roots,
    stdout_kept,
)

if TYPE_CHECKING:
    from lab.store import Run
    from lab.store.rows import Cell


TRUE = "true"
"""What --of calls the true stacks, as lab.folded does."""
A_MINUTE = 1_200_000
"""Instructions that the reference engine executes in one, more or less."""
LONG = 2 * A_MINUTE
"""Instructions for which a reader is told that they take long."""


@click.command("folded", short_help="Print stacks of a stored run for flame graph tools.")
@click.argument("run", metavar="RUN-ID")
@click.option("--of", "of", default=TRUE, show_default=True, metavar="true|UNWINDER",
              help="True stacks, or those this unwinder of the run reports.")  # fmt: skip
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--proposal", "proposals", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--mode", default="boundary", show_default=True, metavar="NAME", help="Kind of stop.")
@results_option
@json_option
def command(
    *,
    run: str,
    of: str,
    arches: tuple[str, ...],
    workloads: tuple[str, ...],
    proposals: tuple[str, ...],
    mode: str,
    root: Path,
    as_json: bool,
) -> None:
    """Print a line per distinct stack of RUN-ID, `outermost;...;innermost STOPS`, as flamegraph.pl, inferno and
    speedscope read it.

    Stops where --of UNWINDER refused or crashed stand below frames [refused] or [crash] and their reason.  A run keeps
    counts, not every trace: its images are executed again by the reference engine (some 20,000 instructions a second;
    choose with --workload), and the counts must be the stored ones.  With several images the first frame names them.
    """
    from lab import store

    found = store.load_run(store.find_run(run, roots(root)), [])
    cells = _cells(found, of, {"arch": arches, "workload": workloads, "proposal": proposals, "mode": (mode,)})
    from lab.folded import MOST_STACKS, fold  # slow to import: a mistake is said before

    many = len(cells) > 1
    _say_how_long(cells)
    printed: list[dict[str, object]] = []
    with progress() as show:
        for done, cell in enumerate(cells):
            title = f"{cell.arch} {cell.workload} {cell.proposal}"
            show(done, len(cells), title)
            with stdout_kept():
                folded = fold(found, cell, of)
            if folded.others:
                click.echo(f"unwindlab: {title}: {folded.others} stops of stacks beyond {MOST_STACKS}", err=True)
            if as_json:
                printed.append({"cell": list(cell.key), "stops": cell.stops, "others": folded.others,
                                "stacks": folded.stacks})  # fmt: skip
            else:
                click.echo("\n".join(folded.lines(title if many else "")))
    if as_json:
        print_json({"run_id": found.run_id, "of": of, "cells": printed})


def _say_how_long(cells: list[Cell]) -> None:
    instructions = sum(cell.instructions for cell in cells)
    if instructions > LONG:
        took = f"{instructions:,} instructions in the reference engine take some {instructions // A_MINUTE} minutes"
        mend = "--workload, --proposal and --arch choose; runs with --size small are short"
        click.echo(f"unwindlab: {took}; {mend}", err=True)


def _cells(run: Run, of: str, wanted: dict[str, tuple[str, ...]]) -> list[Cell]:
    """One cell an image: of the unwinder asked for, else the first that ran."""
    from lab.arch import arch_by_name
    from lab.errors import InputError

    cells = run.result.cells
    wanted = wanted | {"arch": tuple(arch_by_name(name).name for name in wanted["arch"])}
    if of != TRUE:
        check_names("unwinder", [of], [TRUE, *dict.fromkeys(cell.unwinder for cell in cells)])
        wanted |= {"unwinder": (of,)}
    for kind, names in wanted.items():
        if kind != "unwinder":
            check_names(kind, names, list(dict.fromkeys(getattr(cell, kind) for cell in cells)))
    chosen: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        if cell.stops and all(not names or getattr(cell, kind) in names for kind, names in wanted.items()):
            chosen.setdefault(cell.key[:4], cell)
    if not chosen:
        raise InputError(f"run {run.run_id}: no cell with stops has all of these names")
    return list(chosen.values())
