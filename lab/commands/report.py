"""unwindlab report: the mail table of a stored run."""

from __future__ import annotations

from pathlib import Path

import click

from lab.commands.common import json_option, print_json, results_option, roots, run_json


@click.command("report", short_help="Print the table of a stored run.")
@click.argument("run", metavar="RUN")
@click.option("--cells", is_flag=True, help="List every cell as well.")
@results_option
@json_option
def command(*, run: str, cells: bool, root: Path, as_json: bool) -> None:
    """Print the table of RUN: a run id, a unique beginning of one, or a results folder."""
    from lab import store
    from lab.report.mail import mail

    path = store.find_run(run, roots(root))
    found = store.load_run(path, [])
    if as_json:
        print_json(run_json(found, path))
    else:
        click.echo(mail(found, cells), nl=False)
