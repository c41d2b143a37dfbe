"""unwindlab check: limits on the verdicts of a run, for builds that must not get worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lab.commands.common import (
    check_names,
    json_option,
    print_json,
    progress,
    results_option,
    roots,
    run_and_store,
    stdout_kept,
)

if TYPE_CHECKING:
    from lab.report.gates import Checked, Limit
    from lab.store import Run
    from lab.store.rows import Cell

Command = TypeVar("Command", bound=Callable[..., Any])
KINDS = ("arch", "compiler", "workload", "proposal", "unwinder", "mode")
SHOWN = 20


def _options(command: Command) -> Command:
    for verdict, what in (("crash", "crash (0 by default)"), ("extra", "extra"), ("refused", "refused"),
                          ("missing", "MISSING (0 by default)")):  # fmt: skip
        text = f"Most stops of a cell that may be {what}: a count, or a share such as 0.5%."
        command = click.option(f"--max-{verdict}", verdict, metavar="N|P%", help=text)(command)
    for kind in reversed(KINDS):
        command = click.option(f"--{kind}", kind, multiple=True, metavar="NAME", help="Only these; repeatable.")(
            command
        )
    return command


@click.command("check", short_help="Fail where a run's verdicts break a limit.")
@click.argument("subject", metavar="RUN-ID|EXPERIMENT.toml")
@_options
@click.option("--junit", "junit_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the result as JUnit XML too.")  # fmt: skip
@click.option("--sarif", "sarif_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the places that break a limit as SARIF too.")  # fmt: skip
@results_option
@json_option
def command(
    *, subject: str, junit_file: Path | None, sarif_file: Path | None, root: Path, as_json: bool, **given: Any
) -> None:
    """Check every cell of RUN-ID, or of EXPERIMENT.toml, which is run first, against limits.

    Without a limit MISSING and crash must be 0.  Exits with 1 where a cell breaks one, after writing the files asked
    for; a cell is one architecture, compiler, workload, proposal, unwinder and mode.
    """
    from lab.errors import GateError, InputError
    from lab.report import gates
    from lab.report.junit import junit
    from lab.report.sarif import sarif

    asked = {verdict: given[verdict] for verdict in gates.GATED if given[verdict] is not None}
    limits = [gates.limit(verdict, text) for verdict, text in (asked or gates.DEFAULT).items()]
    for file in (junit_file, sarif_file):
        if file and not file.parent.is_dir():  # said before a long run
            raise InputError(f"{file}: there is no folder {file.parent}; make it first")
    run = _run(subject, root)
    checked = gates.check(run.result, limits, _cells(run, given))
    if sarif_file and checked.broken:
        run = _with_sources(run, checked)
        checked = gates.check(run.result, limits, _cells(run, given))
    if junit_file:
        junit_file.write_text(junit(checked, run.run_id), encoding="utf-8")
    if sarif_file:
        sarif_file.write_text(sarif(checked, run.run_id, run.provenance.unwindlab), encoding="utf-8")
    if as_json:
        print_json(_plain(run, checked, limits))
    else:
        for line in _lines(checked, limits):
            click.echo(line)
    if checked.broken:
        raise GateError(f"run {run.run_id}: {checked.failed} of {len(checked.cells)} cells break a limit")


def _run(subject: str, root: Path) -> Run:
    from lab import registry, store
    from lab.experiment import files_of, read_experiment

    if not subject.endswith(".toml"):
        return store.load_run(store.find_run(subject, roots(root)), [])
    file = Path(subject)
    for name in files_of(file):
        registry.add_file(Path(name))
    return run_and_store(read_experiment(file, {}, registry.names()), root)[0]


def _with_sources(run: Run, checked: Checked) -> Run:
    """*run* with the source lines of what broke: SARIF is for tools that show findings beside code."""
    from lab.errors import LabError
    from lab.sourced import with_sources

    try:
        with stdout_kept(), progress() as show:
            return with_sources(run, {broken.cell.key[:4] for broken in checked.broken}, show)[0]
    except LabError as error:  # another image, or no compiler: the findings stand without their lines
        click.echo(f"unwindlab: warning: no source lines: {error}", err=True)
        return run


def _cells(run: Run, given: dict[str, Any]) -> Iterator[Cell]:
    """The cells that have one of the names asked for, of every kind."""
    from lab.arch import arch_by_name

    wanted = {kind: list(given[kind]) for kind in KINDS}
    wanted["arch"] = [arch_by_name(name).name for name in wanted["arch"]]
    for kind, names in wanted.items():
        check_names(kind, names, list(dict.fromkeys(getattr(cell, kind) for cell in run.result.cells)))
    return (
        cell
        for cell in run.result.cells
        if all(not names or getattr(cell, kind) in names for kind, names in wanted.items())
    )


def _lines(checked: Checked, limits: list[Limit]) -> Iterator[str]:
    yield from map(str, checked.broken[:SHOWN])
    if (more := len(checked.broken) - SHOWN) > 0:
        yield f"{more} more like these; --json and --junit have all"
    asked = ", ".join(f"{each.verdict} at most {each}" for each in limits)
    skipped = f"; {len(checked.unsupported)} pairs do not exist" if checked.unsupported else ""
    yield f"{len(checked.cells) - checked.failed} of {len(checked.cells)} cells hold: {asked}{skipped}"


def _plain(run: Run, checked: Checked, limits: list[Limit]) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "limits": {each.verdict: str(each) for each in limits},
        "cells": len(checked.cells),
        "unsupported": len(checked.unsupported),
        "broken": [
            {
                "cell": dict(zip(KINDS, item.cell.key, strict=True)),
                "verdict": item.limit.verdict,
                "limit": str(item.limit),
                "stops": item.cell.verdicts[item.limit.verdict],
                "of": item.cell.stops,
                "doubt": asdict(item.cell)["doubt"],
                "places": [{"location": at, "source": source, "stops": n} for at, source, n in item.places],
            }
            for item in checked.broken
        ],
    }
