"""unwindlab run: an experiment from a TOML file, from options, or everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from lab.commands.common import json_option, print_run, results_option, run_and_store, stdout_kept

if TYPE_CHECKING:
    from lab.plugin import Plugin

Command = TypeVar("Command", bound=Callable[..., Any])


def _names(option: str, key: str, text: str) -> Callable[[Command], Command]:
    return click.option(option, key, multiple=True, metavar="NAME", help=f"{text}; repeatable (default: all).")


@click.command("run", short_help="Run an experiment and store what it found.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE.toml] [FILE.py]...")
@_names("--arch", "arches", "Architecture (arm64 and amd64 work too)")
@click.option("--compiler", "compilers", multiple=True, metavar="NAME", help="Compiler; repeatable (default: clang).")
@_names("--workload", "workloads", "Workload")
@_names("--proposal", "proposals", "Proposal")
@_names("--unwinder", "unwinders", "Unwinder, or a Python file that holds one")
@_names("--mode", "modes", "Kind of stop: boundary, call, inject, blocked")
@click.option("--size", type=click.Choice(["small", "large"]), help="Input size (default: large).")
@click.option("--max-instructions", type=int, metavar="N", help="Budget per execution (default: 2000000).")
@click.option("--max-seconds", type=float, metavar="S", help="Wall-clock budget per execution (default: 120).")
@click.option("--stacks", type=int, metavar="K", help="Differing stacks kept per cell (default: 8).")
@click.option("--seed", type=int, metavar="N", help="Seed of everything random (default: 1).")
@results_option
@json_option
@click.pass_context
def command(ctx: click.Context, /, *, files: tuple[Path, ...], root: Path, as_json: bool, **options: Any) -> None:
    """Run an experiment: FILE.toml, with options laid over it; by default every cell there is.

    A FILE.py holds unwinders, rules, proposals or sequences of your own (unwindlab new writes one); without
    options its own parts are run.  Findings alone exit with 0.  The results go to DIR/<run-id>/, written as a
    whole or not at all.
    """
    from lab import registry
    from lab.experiment import files_of, read_experiment

    given = {key: value for key, value in options.items() if _was_given(ctx, key)}
    file, own = _sorted(files)
    names = list(dict.fromkeys([*map(str, own), *files_of(file)]))
    with stdout_kept():
        added = [registry.add_file(Path(name)) for name in names]
    if names:
        given["files"] = names
    experiment = read_experiment(file, given, registry.names(), _proposed(added))
    run, path, warnings = run_and_store(experiment, root)
    print_run(run, path, warnings, as_json)


def _was_given(ctx: click.Context, key: str) -> bool:
    return ctx.get_parameter_source(key) is not ParameterSource.DEFAULT


def _sorted(files: tuple[Path, ...]) -> tuple[Path | None, list[Path]]:
    """(the experiment, the Python files) of what was given."""
    from lab.errors import InputError

    own = [path for path in files if path.suffix == ".py"]
    rest = [path for path in files if path.suffix != ".py"]
    if len(rest) > 1:
        raise InputError(f"{rest[1]}: one experiment file at a time, and {rest[0]} is one; Python files end in .py")
    return (rest[0] if rest else None), own


def _proposed(added: list[Plugin]) -> dict[str, tuple[str, Any]]:
    """What the user's files say of themselves: their parts together, and their EXPERIMENTs, the last one first."""
    found: dict[str, tuple[str, Any]] = {}
    for plugin in added:
        for key, value in plugin.defaults().items():
            joined = key in ("proposals", "unwinders") and key in found
            found[key] = (plugin.file, [*found[key][1], *value] if joined else value)
    return found
