"""unwindlab verify: is a rewritten image what its map says, and nothing else?"""

from __future__ import annotations

from pathlib import Path

import click

from lab.commands.common import json_option, print_json
from lab.errors import GateError


@click.command("verify", short_help="Check a rewritten image against the original and its map.")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--map", "map_file", type=click.Path(path_type=Path), metavar="FILE", help="The map (default: NEW.rewrite.json)."
)
@json_option
def command(*, old: Path, new: Path, map_file: Path | None, as_json: bool) -> None:
    """Check that NEW is the rewrite of OLD its map describes.  Nothing is run.

    Loaded bytes outside the plan, every inserted and every carried instruction, where control goes, that each
    activation is pushed once and popped once, the layout, unwind information, symbols and the census.  Exit code: 0
    where all checks hold, 1 where one does not.
    """
    from lab.verifying import verify_files

    results = verify_files(old, new, map_file)
    failed = [name for name, result in results.items() if not result["ok"]]
    if as_json:
        print_json({"old": str(old), "new": str(new), "ok": not failed, "checks": results})
    else:
        for name, result in results.items():
            click.echo(f"{'ok    ' if result['ok'] else 'FAILED'}  {name}")
            for problem in result["first"]:
                click.echo(f"        {problem}")
            if result["problems"] > len(result["first"]):
                click.echo(f"        and {result['problems'] - len(result['first'])} more")
    if failed:
        raise GateError(f"verify: {len(failed)} of {len(results)} checks failed: {', '.join(failed)}")
