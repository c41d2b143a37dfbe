"""What several commands share: the results folder, progress on stderr, running and storing, JSON."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lab.experiment import Experiment
    from lab.store import Run, RunResult

Progress = Callable[[int, int, str], None]
"""Called with (done, all, what is being done)."""

MOST_WARNINGS = 5
"""Warnings shown on stderr; ``--json`` has all."""
PLAIN_INTERVAL = 10.0
"""Seconds between progress lines where there is no terminal."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
results_option = click.option(
    "-o",
    "--results",
    "root",
    type=click.Path(path_type=Path),
    default=Path("results"),
    metavar="DIR",
    help="Where runs are kept (default: ./results).",
)

MOST_NOTES = 8  # crashes of unwinders said on stderr; all are in the report


def roots(root: Path) -> list[Path]:
    """Where a run id is looked for: the given folder, ./results, and the reference runs in both."""
    folders = [root, root / "reference", Path("results"), Path("results/reference")]
    return list(dict.fromkeys(folders))


def check_names(kind: str, given: Sequence[str], known: Sequence[str]) -> None:
    """InputError for each of *given* that is not in *known*."""
    from lab.errors import InputError
    from lab.experiment import did_you_mean

    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(*(f"unknown {kind} '{name}'{did_you_mean(name, known)}" for name in unknown))


def check_unwinders(given: Sequence[str], known: Sequence[str], rules: Sequence[str]) -> None:
    """InputError for each of *given* that is no unwinder (nor an existing ``.py`` file), with rules or without."""
    from lab.errors import InputError
    from lab.experiment import known_unwinder, unknown_unwinder

    unknown = [name for name in given if not known_unwinder(name, known, rules)]
    if unknown:
        raise InputError(*(unknown_unwinder(name, known, rules) for name in unknown))


def print_json(value: Any) -> None:
    """Exactly one JSON object on stdout."""
    click.echo(json.dumps(value, indent=1))


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Progress on stderr: a bar on a terminal, a line every ten seconds elsewhere; never on stdout."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _plain_progress()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)

        def show(done: int, total: int, what: str) -> None:
            bars.update(task, completed=done, total=total, description=what)

        yield show


def _plain_progress() -> Progress:
    last = time.monotonic()

    def show(done: int, total: int, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_INTERVAL:
            last = now
            click.echo(f"unwindlab: {done}/{total} {what}", err=True)

    return show


@contextlib.contextmanager
def stdout_kept() -> Iterator[None]:
    """What a plug-in prints meanwhile, here or in a worker, goes to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError):  # stdout or stderr is closed
            kept = os.dup(1)
            undo.callback(os.close, kept)
            os.dup2(2, 1)
            undo.callback(os.dup2, kept, 1)
        yield


def execute(experiment: Experiment) -> RunResult:
    """Run *experiment* with progress."""
    from lab import runner

    with stdout_kept(), progress() as show:
        result: RunResult = runner.run(experiment, show)
    return result


def run_and_store(experiment: Experiment, root: Path) -> tuple[Run, Path, list[str]]:
    """Run, then write results/<run-id>/ as a whole; warnings go to stderr too.

    The folder is checked before the long work, and unwinder files are hashed before they are used.
    """
    from lab import store

    store.check_root(root)
    files = unwinder_files(experiment)
    result = execute(experiment)
    for note in list(dict.fromkeys(note for cell in result.cells for note in cell.notes))[:MOST_NOTES]:
        click.echo(f"unwindlab: {note}", err=True)
    run = store.make_run(result, store.here(sys.argv[1:], files))
    stored = store.write_run(run, root, render)
    for warning in stored.warnings[:MOST_WARNINGS]:
        click.echo(f"unwindlab: warning: {warning}", err=True)
    if (more := len(stored.warnings) - MOST_WARNINGS) > 0:
        click.echo(f"unwindlab: warning: {more} more like these; --json lists all", err=True)
    return run, stored.path, stored.warnings


def with_source_lines(run: Run) -> Run:
    """*run* with source lines for its instructions, from images built once more; on stderr, where there are none."""
    from lab.sourced import with_sources

    with stdout_kept(), progress() as show:
        found, other = with_sources(run, progress=show)
    for title in other:
        click.echo(f"unwindlab: no source lines for {title}: its code is another with line tables", err=True)
    if not any(row.source for row in found.result.code):
        click.echo(f"unwindlab: run {run.run_id} keeps no instructions that a source line is known for", err=True)
    return found


def unwinder_files(experiment: Experiment) -> dict[str, str]:
    """sha256 of every file of the user's; unwinders are loaded once, so that a bad one stops the run early."""
    from lab import registry
    from lab.errors import InputError
    from lab.experiment import unwinder_parts

    known = registry.names().unwinders
    hashes = {name: _hash(name) for name in experiment.files}
    called: dict[str, str] = {}
    for name in experiment.unwinders:
        base, rules = unwinder_parts(name)
        own = name
        if base.endswith(".py") and name not in known:
            hashes[base] = _hash(base)
            with stdout_kept():
                own = "+".join([registry.load_unwinder(Path(base)).name, *rules])
        if own in called:
            raise InputError(f"{name}: its unwinder is called '{own}', as is {called[own]}; give it another name")
        called[own] = name
    return hashes


def _hash(name: str) -> str:
    from lab.errors import InputError

    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{name}: cannot read this file: {error.strerror}") from error


def render(run: Run, folder: Path) -> None:
    """The reports of a run, written into its folder."""
    from lab.report.cost_figures import write_cost_figures
    from lab.report.figures import write_figures
    from lab.report.heat_figure import write_heat_figures
    from lab.report.html.page import explorer
    from lab.report.mail import mail

    (folder / "mail.txt").write_text(mail(run), encoding="ascii")
    (folder / "report.html").write_bytes(explorer(run))
    write_figures(run, folder / "fig")
    write_heat_figures(run, folder / "fig")
    write_cost_figures(run, folder / "fig")


def run_json(run: Run, path: Path, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """What ``run --json`` and ``report --json`` print."""
    import dataclasses

    found = run.result
    return {
        "run_id": run.run_id,
        "path": str(path),
        "cells": [dataclasses.asdict(cell) for cell in found.cells],
        "costs": [dataclasses.asdict(row) | _per_call(row) for row in found.costs],
        "images": [dataclasses.asdict(image) for image in found.images],
        "compilers": found.compilers,
        "config": found.experiment.model_dump(mode="json"),
        "notes": found.notes,
        "warnings": list(warnings),
    }


def _per_call(row: Any) -> dict[str, float | None]:
    names = ("insn_per_call", "loads_per_call", "stores_per_call")
    values = {name: getattr(row, name) for name in names}
    return {name: None if value is None else float(value) for name, value in values.items()}


def print_run(run: Run, path: Path, warnings: Sequence[str], as_json: bool) -> None:
    """The mail table on stdout, then what was written where; or one JSON object."""
    if as_json:
        print_json(run_json(run, path, warnings))
        return
    from lab.report.mail import mail

    click.echo(mail(run))
    for written in sorted(path.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        many = f"/ ({sum(p.is_file() for p in written.rglob('*'))} files)" if written.is_dir() else ""
        click.echo(f"wrote {written}{many}")
