"""unwindlab explorer: a stored run as one HTML file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.commands.common import json_option, print_json, roots, with_source_lines

if TYPE_CHECKING:
    from lab.store import Run


@click.command("explorer", short_help="Write a stored run as one HTML page to explore.")
@click.argument("run", metavar="RUN-ID")
@click.option("-o", "--output", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where to write it (default: report.html in the run's folder).")  # fmt: skip
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--proposal", "proposals", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--source", "sourced", is_flag=True,
              help="With source lines: builds every image once more, with line tables.")  # fmt: skip
@click.option("--results", "root", type=click.Path(path_type=Path), default=Path("results"), metavar="DIR",
              help="Where runs are kept (default: ./results).")  # fmt: skip
@json_option
def command(
    *,
    run: str,
    file: Path | None,
    arches: tuple[str, ...],
    workloads: tuple[str, ...],
    proposals: tuple[str, ...],
    sourced: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Write RUN-ID as one self-contained HTML file: from a number to its instruction in three clicks.

    `unwindlab run` writes the same file as report.html beside its other results; this is for runs stored before it
    did, for another place, for a part of a run that is too large for one page, and for source lines: measured images
    have no debug information, so --source builds twins that have, and believes those whose code is the same.
    """
    from lab import store
    from lab.report.html.page import explorer

    path = store.find_run(run, roots(root))
    found = _part(store.load_run(path, []), arches, workloads, proposals)
    if sourced:
        found = with_source_lines(found)
    target = file or path / "report.html"
    page = explorer(found)
    target.write_bytes(page)
    if as_json:
        print_json({"run_id": found.run_id, "path": str(target), "bytes": len(page)})
    else:
        click.echo(f"wrote {target} ({len(page):,} bytes); open it in a browser, no server is needed")


def _part(run: Run, arches: tuple[str, ...], workloads: tuple[str, ...], proposals: tuple[str, ...]) -> Run:
    """The rows of some names only, under the id of the whole run."""
    from lab.commands.common import check_names
    from lab.errors import InputError

    result = run.result
    wanted = {"arch": _arches(arches), "workload": workloads, "proposal": proposals}
    for kind, names in wanted.items():
        check_names(kind, names, sorted({getattr(cell, kind) for cell in result.cells}))

    def kept(row: object) -> bool:
        return all(not names or getattr(row, kind) in names for kind, names in wanted.items())

    if not any(wanted.values()):
        return run
    part = dataclasses.replace(
        result,
        cells=[row for row in result.cells if kept(row)],
        verdicts=[row for row in result.verdicts if kept(row)],
        stacks=[row for row in result.stacks if kept(row)],
        costs=[row for row in result.costs if kept(row)],
        images=[row for row in result.images if kept(row)],
        code=[row for row in result.code if kept(row)],
    )
    if not part.cells:
        raise InputError(f"run {run.run_id}: no cell has all of these names; unwindlab report {run.run_id} lists them")
    return dataclasses.replace(run, result=part)


def _arches(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of architectures as rows have them: ``arm64`` is ``aarch64``."""
    from lab.arch import arch_by_name

    return tuple(arch_by_name(name).name for name in names)
