"""unwindlab cost: exact counts of what proposals add, by function, class and site, and other prices."""

from __future__ import annotations

from typing import Any

import click

from lab.commands.common import json_option, print_json, progress, stdout_kept


@click.command("cost", short_help="Say what proposals cost: per call, per byte, per core.")
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Architecture; repeatable (default: all).")
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="Workload; repeatable (default: all).")
@click.option("--proposal", "proposals", multiple=True, metavar="NAME", help="Proposal; repeatable (default: all).")
@click.option("--size", type=click.Choice(["small", "large"]), default="small", help="Input size (default: small).")
@click.option("--functions", is_flag=True, help="Per function and per site too.")
@click.option("--check", is_flag=True, help="Compare every count with an independent one (qemu-user, plain hooks).")
@json_option
def command(
    *,
    arches: tuple[str, ...],
    workloads: tuple[str, ...],
    proposals: tuple[str, ...],
    size: str,
    functions: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Execute each workload with and without each proposal, on the same input, and count.

    Counts are exact: instructions, loads, stores, bytes, branches; every added instruction is found at the site that
    executes it, and what is not is said.  They are no times.  A pair that does not exist is left out.  With --check a
    difference is an error (exit code 4).
    """
    from lab.cost.collect import chosen, collect
    from lab.cost.text import render, row_json

    asked = chosen(arches, workloads, proposals, size)
    with stdout_kept(), progress() as show:
        found = collect(asked, show, check=check)
    if not as_json:
        click.echo(render(found, functions=functions), nl=False)
        return
    value: dict[str, Any] = {"rows": [row_json(one, functions=functions) for one in found], "size": size}
    print_json(value)
