"""unwindlab list: every name an experiment may use."""

from __future__ import annotations

from typing import Any

import click

from lab.commands.common import json_option, print_json

KINDS = ("proposals", "unwinders", "rules", "rewriters", "compilers", "arches", "modes")


@click.command("list", short_help="List workloads, proposals, unwinders, rules, compilers.")
@json_option
def command(*, as_json: bool) -> None:
    """List every name that an experiment may use."""
    from lab import registry

    names = registry.names()
    workloads: list[dict[str, Any]] = [
        {"name": name, "rows": list(rows), "title": title} for name, rows, title in names.workloads
    ]
    if as_json:
        print_json({"workloads": workloads} | {kind: list(getattr(names, kind)) for kind in KINDS})
        return
    click.echo("workloads")
    widest = max((len(w["name"]) for w in workloads), default=0)
    for workload in workloads:
        rows = " ".join(str(row) for row in workload["rows"])
        click.echo(f"  {workload['name']:<{widest}}  {workload['title']} (rows {rows})")
    for kind in KINDS:
        click.echo(kind)
        for name in getattr(names, kind):
            click.echo(f"  {name}")
