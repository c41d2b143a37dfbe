"""unwindlab explain: one stop of one image, or of a stored run: code, registers, true and reported stack, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.commands.common import (
    check_names,
    check_unwinders,
    json_option,
    print_json,
    results_option,
    roots,
    stdout_kept,
)

if TYPE_CHECKING:
    from lab.explain import Explanation


@click.command("explain", short_help="Explain the verdicts at one stop of an image or of a stored run.")
@click.argument("subject", metavar="IMAGE|RUN-ID")
@click.argument("place", metavar="PC|STOP", required=False)
@click.option(
    "--unwinder", "unwinders", multiple=True, metavar="NAME", help="Unwinder; repeatable (default: all, or the run's)."
)
@click.option(
    "--mode",
    default="boundary",
    show_default=True,
    metavar="NAME",
    help="Kind of stop: boundary, call, inject, blocked.",
)
@click.option("--hit", default=1, show_default=True, type=click.IntRange(min=1), help="The N-th stop at this pc.")
@results_option
@json_option
def command(
    *, subject: str, place: str | None, unwinders: tuple[str, ...], mode: str, hit: int, root: Path, as_json: bool
) -> None:
    """Explain one stop of IMAGE at PC (an address such as 0x10128, or func+0x1c).

    Or one that the run RUN-ID has kept: STOP is its number, or its place; without it they are listed.  Per
    unwinder: the rule or record each frame used, each slot it read, the first frame that differs, and why.
    """
    path = Path(subject)
    if _is_run(path, subject):
        _run_stop(subject, place, unwinders, root, as_json)
        return
    if place is None:
        raise click.UsageError(f"which stop of {subject}? Give a PC: an address, a function, or func+0x1c")
    _print(_of_image(path, place, unwinders, mode, hit), as_json)


def _is_run(path: Path, subject: str) -> bool:
    """Whether *subject* is meant for a stored run: a folder, or what looks like (the beginning of) a run id."""
    looks = 4 <= len(subject) <= 12 and all(c in "0123456789abcdef" for c in subject)
    return path.is_dir() or (looks and not path.is_file())


def _of_image(path: Path, pc: str, unwinders: tuple[str, ...], mode: str, hit: int) -> Explanation:
    from lab import registry
    from lab.explain import explain
    from lab.machine.machine import Limits
    from lab.untrusted import EMULATOR, apart

    names = registry.names()
    check_unwinders(unwinders, names.unwinders, names.rules)
    check_names("mode", [mode], names.modes)
    with stdout_kept():
        wanted = (path, pc, list(unwinders), mode, hit)
        return apart(EMULATOR, path, explain, *wanted, seconds=2 * Limits().seconds)


def _run_stop(subject: str, place: str | None, unwinders: tuple[str, ...], root: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from lab import kept, registry, store

    run = store.load_run(store.find_run(subject, roots(root)), [])
    for file in run.result.experiment.files:
        registry.add_file(Path(file))
    names = registry.names()
    check_unwinders(unwinders, names.unwinders, names.rules)
    if place is None and as_json:
        print_json({"run_id": run.run_id, "stops": [asdict(stop) for stop in kept.kept_stops(run)]})
    elif place is None:
        click.echo(kept.listing(run))
    else:
        with stdout_kept():
            found = kept.explain_kept(run, kept.pick(run, place), list(unwinders))
        _print(found, as_json)


def _print(found: Explanation, as_json: bool) -> None:
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.to_text())
