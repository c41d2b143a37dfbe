"""unwindlab explain: one pc of one image: disassembly, registers, true and reported stack, and why."""

from __future__ import annotations

from pathlib import Path

import click

from lab.commands.common import check_names, check_unwinders, json_option, print_json, stdout_kept


@click.command("explain", short_help="Explain the verdicts at one pc of one image.")
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("pc")
@click.option("--unwinder", "unwinders", multiple=True, metavar="NAME", help="Unwinder; repeatable (default: all).")
@click.option("--mode", default="boundary", show_default=True, metavar="NAME", help="Kind of stop: boundary, call.")
@click.option("--hit", default=1, show_default=True, type=click.IntRange(min=1), help="The N-th stop at this pc.")
@json_option
def command(*, image: Path, pc: str, unwinders: tuple[str, ...], mode: str, hit: int, as_json: bool) -> None:
    """Explain one stop of IMAGE at PC (an address such as 0x10128, or func+0x1c)."""
    from lab import registry
    from lab.explain import explain
    from lab.machine.machine import Limits
    from lab.untrusted import EMULATOR, apart

    names = registry.names()
    check_unwinders(unwinders, names.unwinders, names.rules)
    check_names("mode", [mode], names.modes)
    with stdout_kept():
        wanted = (image, pc, list(unwinders), mode, hit)
        found = apart(EMULATOR, image, explain, *wanted, seconds=2 * Limits().seconds)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.to_text())
