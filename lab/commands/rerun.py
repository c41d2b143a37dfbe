"""unwindlab rerun: run a stored run again and compare every count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.commands.common import execute, json_option, print_json, results_option, roots, unwinder_files

if TYPE_CHECKING:
    from lab.store import Run


@click.command("rerun", short_help="Run a stored run again; every count must be the same.")
@click.argument("run", metavar="RUN-ID")
@results_option
@json_option
def command(*, run: str, root: Path, as_json: bool) -> None:
    """Run the configuration of RUN-ID again and compare all counts; nothing is written.

    Prints "identical: N cells" and exits with 0, or the differences and exits with 1.
    """
    from lab import registry, store
    from lab.errors import GateError
    from lab.experiment import revive

    old = store.load_run(store.find_run(run, roots(root)), [])
    for file in old.result.experiment.files:
        registry.add_file(Path(file))
    experiment = revive(old.result.experiment, registry.names(), f"run {old.run_id}")
    made = store.here([], unwinder_files(experiment))
    new = store.make_run(execute(experiment), made)
    differences = store.compare(old, new)
    causes = store.version_differences(old.provenance, made) + _compilers(old, new)
    cells = len(new.result.cells)
    if as_json:
        found = [vars(difference) for difference in differences]
        print_json({"run_id": old.run_id, "identical": not found, "cells": cells, "differences": found,
                    "versions": causes})  # fmt: skip
    elif not differences:
        click.echo(f"identical: {cells} cells")
    else:
        for difference in differences:
            click.echo(str(difference))
    if differences:
        why = f"; likely cause: {'; '.join(causes)}" if causes else "; all versions are the same"
        raise GateError(f"run {old.run_id}: {len(differences)} differences in {cells} cells{why}")


def _compilers(old: Run, new: Run) -> list[str]:
    """One line per compiler whose version differs."""
    before, now = ({c["name"]: c["version"] for c in run.result.compilers} for run in (old, new))
    names = sorted({*before, *now})
    return [
        f"{name}: {before.get(name, 'absent')} then, {now.get(name, 'absent')} now"
        for name in names
        if before.get(name) != now.get(name)
    ]
