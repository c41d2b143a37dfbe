"""unwindlab rewrite: one image in, the rewritten image and its map out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.commands.common import json_option, print_json
from rewriters import REWRITERS, all_flavours

if TYPE_CHECKING:
    from lab.machine.linux.process import Process


@click.command("rewrite", short_help="Rewrite one image to carry a shadow stack.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("argv", metavar="[-- ARGV...]", nargs=-1)
@click.option("-o", "--output", "out", required=True, type=click.Path(path_type=Path), metavar="OUT")
@click.option("--mode", required=True, type=click.Choice(REWRITERS), help="How the code gets in.")
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
@click.option(
    "--leaves",
    default="all",
    show_default=True,
    type=click.Choice(["all", "skip"]),
    help="Instrument functions that make no call, too, or skip them.",
)
@click.option("--root", type=click.Path(path_type=Path), metavar="DIR", help="With ARGV: the folder it sees as /.")
@click.option("--stdin", type=click.Path(path_type=Path), metavar="FILE", help="With ARGV: its standard input.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="With ARGV: its environment, one variable each.")
@json_option
def command(
    *,
    source: Path,
    argv: tuple[str, ...],
    out: Path,
    mode: str,
    flavour: str,
    policy: str,
    leaves: str,
    root: Path | None,
    stdin: Path | None,
    env: tuple[str, ...],
    as_json: bool,
) -> None:
    """Rewrite the image IN to OUT, verify it, and write its map to OUT.rewrite.json.

    A real program is verified by running it before and after with the arguments ARGV (argv[0] first), in a small
    confined Linux: nothing of this machine is reachable for it but a copy of the files below --root.
    """
    from lab.layout import Leaves, Policy, map_path
    from lab.rewriting import rewrite_file

    process = _process(argv, root, stdin, env)
    made = rewrite_file(source, out, mode, flavour, Policy(policy), leaves=Leaves(leaves), process=process)
    plain: dict[str, Any] = json.loads(made.to_json())
    if as_json:
        print_json({"output": str(out), "map": str(map_path(out))} | plain)
        return
    census = made.census
    click.echo(f"wrote {out} and {map_path(out)}")
    click.echo(f"instrumented {census.instrumented}/{census.functions} functions")
    click.echo(f"sites {census.sites}: {census.inline} in line, {census.out_of_line} out of line")
    click.echo(f"decoded {census.decoded} instructions, had to understand {census.understood}")
    for line in _scan(census.scan):
        click.echo(line)
    checks = made.checks
    click.echo(f"copied without sequences: {checks['copy_only']}")
    click.echo(f"result before and after: {checks['same_result']} ({checks['result']})")
    if not argv and not checks["result"].startswith("exit 0"):
        click.echo("a real program runs as one when it is given arguments: add -- ARGV...", err=True)
    if "system_calls" in checks:
        click.echo(f"system calls before and after: {checks['same_system_calls']} ({checks['system_calls']})")
    click.echo(f"shadow balance: {checks['shadow_balance']} at {checks['shadow_balance_stops']} stops")
    for left in census.left_out:
        click.echo(f"left out {left.function} at {left.address:#x}: {left.reason}")


def _process(argv: tuple[str, ...], root: Path | None, stdin: Path | None, env: tuple[str, ...]) -> Process | None:
    """How the image is started, None for a freestanding one."""
    if not argv:
        if root or stdin or env:
            raise click.UsageError("--root, --stdin and --env are for a program with arguments: add -- ARGV...")
        return None
    from lab.machine.linux.process import Process

    return Process(argv, env, stdin.read_bytes() if stdin else b"", root)


def _scan(scan: dict[str, Any]) -> Iterator[str]:
    """What looking for the sites without their records found: PAC compares two ways, XRay scores patterns."""
    if "agree" in scan:
        yield f"sites by .eh_frame {scan['eh_frame']}, by scanning {scan['scan']}, in both {scan['agree']}"
        return
    for pattern, score in scan.items():
        yield f"scan for {pattern}: found {score['found']}, right {score['true']}, recorded {score['recorded']}"
