"""unwindlab new: a commented start for a proposal of one's own, in one file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("new", short_help="Write a commented start for a proposal of your own.")
@click.argument("name")
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Architecture; repeatable (default: all).")
def command(*, name: str, arches: tuple[str, ...]) -> None:
    """Write NAME.py here: an unwinder, a rule, a shadow stack, proposals, and the experiment that runs them.

    It runs as it stands: unwindlab run NAME.py.  An existing file is never overwritten.
    """
    from lab.errors import InputError
    from lab.start import file_name, start_text

    text, path = start_text(name, arches), Path(file_name(name))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path}: exists already; choose another name, or move it away") from None
    click.echo(f"wrote {path}; next: unwindlab run {path}")
