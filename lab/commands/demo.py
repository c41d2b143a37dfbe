"""unwindlab demo: a small fixed experiment, its table and where it was written."""

from __future__ import annotations

from pathlib import Path

import click

from lab.commands.common import json_option, print_run, results_option, run_and_store

DEMO = Path(__file__).parent.parent / "demo.toml"


@click.command("demo", short_help="Run a small fixed experiment: table and paths in seconds.")
@results_option
@json_option
def command(*, root: Path, as_json: bool) -> None:
    """Run the small experiment in lab/demo.toml and print its table and the files it wrote."""
    from lab import registry
    from lab.experiment import read_experiment

    experiment = read_experiment(DEMO, {}, registry.names())
    run, path, warnings = run_and_store(experiment, root)
    print_run(run, path, warnings, as_json)
