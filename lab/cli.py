"""The ``unwindlab`` command: finds a command's module when it is called, and turns errors into one line.

Exit codes: 0 done; 1 a gate failed; 2 usage, configuration or an input the user can mend; 3 toolchain
missing; 4 internal fault; 130 interrupted.  Without a command it prints its help and exits with 0.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import lab
from lab.errors import InputError, LabError
from lab.interrupts import stoppable

COMMANDS = {
    "demo": "demo",
    "run": "run",
    "new": "new",
    "report": "report",
    "explorer": "explorer",
    "mail": "mail",
    "diff": "diff",
    "folded": "folded",
    "check": "check",
    "list": "listing",
    "explain": "explain",
    "rerun": "rerun",
    "doctor": "doctor",
    "selftest": "selftest",
    "rewrite": "rewrite",
    "census": "census",
    "metadata": "metadata",
    "conformance": "conformance",
    "shrink": "shrink",
    "verify": "verify",
    "mutate": "mutate",
    "sample": "sample",
    "bench": "bench",
    "cost": "cost",
}
"""Command -> its module in lab.commands, which holds a click command called ``command``."""

MENDABLE = frozenset(
    getattr(errno, name)
    for name in "EACCES EDQUOT EFBIG EISDIR ELOOP ENAMETOOLONG ENOENT ENOSPC ENOTDIR EPERM EROFS".split()
)
"""What the system says about files and disks the user can mend, wherever it says so."""

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
        with stoppable():
            return _invoked(group, args, extra)
    except LabError as error:
        return _say(error.lines, error.exit_code)
    except click.ClickException as error:
        return _say([" ".join(error.format_message().split())], InputError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _say(["interrupted"], INTERRUPTED)
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except Exception as error:
        if os.environ.get("UNWINDLAB_DEBUG"):
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno in MENDABLE:
            return _say(InputError(f"{_file_of(error)}: {error.strerror}").lines, InputError.exit_code)
        fault = " ".join(f"{type(error).__name__}: {error}".split())
        return _say([f"internal fault: {fault} (set UNWINDLAB_DEBUG=1 for the traceback)"], INTERNAL_FAULT)


def _invoked(group: click.Group, args: list[str], extra: dict[str, Any]) -> int:
    """Run the command; what it printed is on its way before anything is called done."""
    code = 0
    try:
        with group.make_context("unwindlab", args, **extra) as ctx:
            group.invoke(ctx)
    except click.exceptions.Exit as done:
        code = done.exit_code
    if sys.stdout is not None:  # None where the shell closed it (>&-)
        sys.stdout.flush()
    return code


def _file_of(error: OSError) -> str:
    """The file an error is about; one without a name comes from printing the results."""
    if error.filename is not None:
        return os.fsdecode(error.filename)
    _drop_stdout()
    return "standard output"


def _say(lines: Sequence[str], code: int) -> int:
    """Print each of *lines* to stderr behind the program's name; returns *code*."""
    with contextlib.suppress(OSError):  # nobody listens
        for line in lines:
            click.echo(f"unwindlab: {line}", err=True)
    return code


def _drop_stdout() -> None:
    """Nothing more is written, not even by the flush at exit, which would fail again."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


if __name__ == "__main__":
    main()
