"""unwindlab shrink: one failing stop of a run as the smallest program that still shows it, in a test file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.commands.common import json_option, print_json, progress, roots, stdout_kept

if TYPE_CHECKING:
    from lab.shrink.shrinking import Shrunk


@click.command("shrink", short_help="Reduce a failing stop of a run to a small test file.")
@click.argument("run", metavar="RUN-ID")
@click.argument("stop", metavar="STOP")
@click.option("--unwinder", default=None, metavar="NAME", help="Whose verdict (needed where several differ there).")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Default: test_UNWINDER_FUNCTION.py"
)
@click.option(
    "--max-seconds",
    "seconds",
    default=120.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Stop looking then.",
)
@click.option(
    "--results",
    "root",
    default=Path("results"),
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where runs are kept.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@json_option
def command(
    *,
    run: str,
    stop: str,
    unwinder: str | None,
    output: Path | None,
    seconds: float,
    root: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Shrink STOP of RUN-ID (unwindlab explain RUN-ID lists them) and write it as a test that stands alone.

    The verdict, its reason, the function, the kind of instruction and how the report differs stay the same.
    """
    from lab import kept, store
    from lab.errors import InputError
    from lab.shrink.shrinking import row_of, shrink
    from lab.shrink.writing import test_file

    if output is not None and output.exists() and not force:
        raise InputError(f"{output}: exists already; choose another -o, or --force")
    stored = store.load_run(store.find_run(run, roots(root)), [])
    row = row_of(stored, kept.pick(stored, stop), unwinder)
    with stdout_kept(), progress() as show:
        found = shrink(stored, row, seconds, show)
    path = output or Path(f"test_{_word(found.unwinder)}_{_word(found.found.target.function)}.py")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(test_file(found, path.name))
    except FileExistsError:
        raise InputError(f"{path}: exists already; choose another with -o, or --force") from None
    if as_json:
        print_json(_json(found, path))
    else:
        click.echo(_text(found, path), nl=False)


def _word(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower()).strip("_") or "stop"


def _text(found: Shrunk, path: Path) -> str:
    lines = [
        f"{found.unwinder}: {found.found.target.verdict} at {found.stop}",
        f"lines of source      {found.before[0]:>8} -> {found.after[0]}",
        f"instructions to it   {found.before[1]:>8} -> {found.after[1]}",
        f"{found.tried} candidates tried"
        + ("; the time ran out: give more with --max-seconds" if found.expired else ""),
        f"wrote {path}; next: pytest {path}",
    ]
    return "\n".join(lines) + "\n"


def _json(found: Shrunk, path: Path) -> dict[str, object]:
    return {
        "run_id": found.run,
        "stop": found.stop,
        "unwinder": found.unwinder,
        "mode": found.mode,
        "file": str(path),
        "target": found.found.target.to_json(),
        "location": found.found.location,
        "truth": list(found.found.truth),
        "reported": list(found.found.reported),
        "lines": {"before": found.before[0], "after": found.after[0]},
        "instructions": {"before": found.before[1], "after": found.after[1]},
        "candidates": found.tried,
        "expired": found.expired,
    }
