"""unwindlab rewrite: one image in, the rewritten image and its map out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from lab.commands.common import json_option, print_json
from rewriters import REWRITERS, all_flavours


@click.command("rewrite", short_help="Rewrite one image to carry a shadow stack.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option("-o", "--output", "out", required=True, type=click.Path(path_type=Path), metavar="OUT")
@click.option("--mode", required=True, type=click.Choice(REWRITERS), help="Which sleds to fill.")
@click.option(
    "--flavour",
    required=True,
    type=click.Choice([spec.name for spec in all_flavours()]),
    help="How the shadow stack is reached.",
)
@click.option(
    "--policy",
    required=True,
    type=click.Choice(["record", "use", "check"]),
    help="What a return does with the shadow entry.",
)
@json_option
def command(*, source: Path, out: Path, mode: str, flavour: str, policy: str, as_json: bool) -> None:
    """Rewrite the image IN to OUT, verify it, and write its map to OUT.rewrite.json."""
    from lab.layout import Policy, map_path
    from lab.rewriting import rewrite_file

    made = rewrite_file(source, out, mode, flavour, Policy(policy))
    plain: dict[str, Any] = json.loads(made.to_json())
    if as_json:
        print_json({"output": str(out), "map": str(map_path(out))} | plain)
        return
    census = made.census
    click.echo(f"wrote {out} and {map_path(out)}")
    click.echo(f"instrumented {census.instrumented}/{census.functions} functions")
    click.echo(f"sites {census.sites}: {census.inline} in line, {census.out_of_line} out of line")
    for left in census.left_out:
        click.echo(f"left out {left.function} at {left.address:#x}: {left.reason}")
