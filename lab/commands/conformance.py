"""unwindlab conformance: the kernel's requirements for reliable stack traces against every design."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from lab.commands.common import (
    check_names,
    check_unwinders,
    json_option,
    print_json,
    results_option,
    roots,
    run_and_store,
)

if TYPE_CHECKING:
    from lab.conformance.requirement import Requirement
    from lab.conformance.table import Table
    from lab.store import Run


@click.command("conformance", short_help="Which design meets which requirement for reliable stack traces.")
@click.option("--run", "runs", multiple=True, metavar="RUN-ID", help="Fill the table in from this run; repeatable.")
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Architecture; repeatable (default: all).")
@click.option("--unwinder", "unwinders", multiple=True, metavar="NAME", help="Design; repeatable (default: all).")
@click.option(
    "--row", "wanted", multiple=True, metavar="ID", help="Requirement (or section); repeatable. Shows details."
)
@click.option("--size", type=click.Choice(["small", "large"]), default="small", show_default=True, help="Inputs.")
@click.option("--details", is_flag=True, help="Show what stands behind every cell.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the tables for a README.")
@results_option
@json_option
def command(*, wanted: tuple[str, ...], details: bool, as_markdown: bool, as_json: bool, **given: Any) -> None:
    """Fill the requirements of the kernel's document on reliable stack traces (sections 2 to 4.6) in, by design.

    Without --run the experiments that the requirements need are run and stored; their ids are printed, and --run
    with them prints the table again at once.  Violations are findings: the exit code is 0.
    """
    from lab.conformance.text import markdown, text

    if as_json and as_markdown:
        raise click.UsageError("--json or --markdown, not both")
    rows = _rows(wanted)
    table = _table(rows, **given)
    if as_json:
        print_json(_document(table))
    elif as_markdown:
        click.echo(markdown(table), nl=False)
    else:
        click.echo(text(table, details=details or bool(wanted)), nl=False)


def _rows(wanted: tuple[str, ...]) -> tuple[Requirement, ...]:
    """The requirements called so, or of those sections; all without a name."""
    from lab.conformance.requirements import REQUIREMENTS

    sections = dict.fromkeys(row.section for row in REQUIREMENTS)
    check_names("requirement", wanted, [*(row.id for row in REQUIREMENTS), *sections])
    return tuple(row for row in REQUIREMENTS if not wanted or row.id in wanted or row.section in wanted)


def _table(
    rows: tuple[Requirement, ...],
    *,
    runs: tuple[str, ...],
    arches: tuple[str, ...],
    unwinders: tuple[str, ...],
    size: str,
    root: Path,
) -> Table:
    from lab import registry
    from lab.arch import arch_by_name
    from lab.conformance.planning import experiments
    from lab.conformance.table import Table
    from lab.errors import InputError

    names = registry.names()
    check_unwinders(unwinders, names.unwinders, names.rules)
    chosen = tuple(arch_by_name(name).name for name in arches)
    if runs:
        stored = [_load(run, root) for run in runs]
    else:
        size_given = cast(Literal["small", "large"], size)
        planned = experiments(chosen, unwinders, rows, size_given)
        if not planned:
            raise InputError("no requirement asked for names a workload of its own; give --run, or --row of another")
        stored = [run_and_store(experiment, root)[0] for experiment in planned]
    return Table(stored, rows, unwinders, arches=chosen)


def _load(run: str, root: Path) -> Run:
    from lab import registry, store

    found = store.load_run(store.find_run(run, roots(root)), [])
    for file in found.result.experiment.files:
        registry.add_file(Path(file))
    return found


def _document(table: Table) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "runs": [run.run_id for run in table.runs],
        "designs": list(table.designs),
        "oracle_not_exact": table.oracle_wrong,
        "rows": [row.to_json() for arch in table.arches for row in table.rows(arch)],
    }
