"""unwindlab diff: two stored runs, pc by pc."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lab.commands.common import json_option, print_json, results_option, roots


@click.command("diff", short_help="Say what got better or worse from one stored run to another.")
@click.argument("first", metavar="RUN-A")
@click.argument("second", metavar="RUN-B")
@click.option("--most", default=12, show_default=True, type=click.IntRange(min=1), metavar="N",
              help="Changes listed of each kind.")  # fmt: skip
@results_option
@json_option
def command(*, first: str, second: str, most: int, root: Path, as_json: bool) -> None:
    """Compare the verdicts of RUN-A and RUN-B, a respin: what is better, worse, new or gone, per pc.

    Findings exit with 0; `unwindlab check` is for limits, `unwindlab rerun` for runs that must be equal.
    """
    from lab import store
    from lab.report.diff import KINDS, respin
    from lab.report.diff_text import diff_text

    before, after = (store.load_run(store.find_run(name, roots(root)), []) for name in (first, second))
    found = respin(before, after)
    if not as_json:
        click.echo(diff_text(found, before, after, most), nl=False)
        return
    counts = {kind: sum(1 for change in found.changes if change.kind == kind) for kind in KINDS}
    print_json({
        "before": before.run_id, "after": after.run_id, "counts": counts, "same_cells": found.same,
        "cells_gone": found.gone, "cells_new": found.new,
        "aligned": {"/".join(image): how for image, how in found.aligned.items()},
        "changes": [asdict(change) for change in found.changes],
    })  # fmt: skip
