"""The ``unwindlab`` command: finds a command's module when it is called, and turns errors into one line.

Exit codes: 0 done; 1 a gate failed; 2 usage, configuration or an input the user can mend; 3 toolchain
missing; 4 internal fault; 130 interrupted.  Without a command it prints its help and exits with 0.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import lab
from lab.errors import InputError, LabError

COMMANDS = {
    "demo": "demo",
    "run": "run",
    "report": "report",
    "list": "listing",
    "explain": "explain",
    "rerun": "rerun",
    "doctor": "doctor",
    "rewrite": "rewrite",
}
"""Command -> its module in lab.commands, which holds a click command called ``command``."""

INTERNAL_FAULT = 4
INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports a command's module only when it is needed; every way out goes through ``main``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(f"lab.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command is answered with the nearest known one."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(COMMANDS)}"
            raise click.UsageError(f"unknown command '{name}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]  # one way out for every caller: always an exit with a documented code
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run and exit with a documented code; never a traceback unless UNWINDLAB_DEBUG is set."""
        for unused in ("standalone_mode", "complete_var", "windows_expand_args"):
            extra.pop(unused, None)
        sys.exit(_guarded(self, list(sys.argv[1:] if args is None else args), extra))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(lab.__version__, prog_name="unwindlab", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Where a stack-trace design tells the truth, where it refuses, where it lies, and what it costs."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> NoReturn:
    """The console script."""
    cli.main()


def _guarded(group: click.Group, args: list[str], extra: dict[str, Any]) -> int:
    """The exit code of one call; messages go to stderr, each on a line of its own.

    click's own main is not used: it answers a closed pipe with exit code 1, which means something else here.
    """
    try:
        with group.make_context("unwindlab", args, **extra) as ctx:
            group.invoke(ctx)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as done:
        return _flushed(done.exit_code)
    except LabError as error:
        return _say(str(error), error.exit_code)
    except click.ClickException as error:
        return _say(" ".join(error.format_message().split()), InputError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return _drop_stdout()
    except Exception as error:
        if os.environ.get("UNWINDLAB_DEBUG"):
            traceback.print_exc()
        fault = " ".join(f"{type(error).__name__}: {error}".split())
        return _say(f"internal fault: {fault} (set UNWINDLAB_DEBUG=1 for the traceback)", INTERNAL_FAULT)


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _drop_stdout()
    return code


def _say(text: str, code: int) -> int:
    """Print each line of *text* to stderr behind the program's name; returns *code*."""
    for line in text.splitlines() or [""]:
        click.echo(f"unwindlab: {line}", err=True)
    return code


def _drop_stdout() -> int:
    """The reader has gone, which is no fault: nothing more is written, not even by the flush at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    return 0


if __name__ == "__main__":
    main()
