"""unwindlab mail: a stored run, or parts of it, as text for a mailing list."""

from __future__ import annotations

from pathlib import Path

import click

from lab.commands.common import json_option, print_json, results_option, roots, with_source_lines


@click.command("mail", short_help="Print a stored run, or parts of it, for a mailing list.")
@click.argument("run", metavar="RUN-ID")
@click.option("--section", "sections", multiple=True, metavar="NAME",
              help="verdicts, strip, costs, sizes, refusals, census, unsupported, cells or notes; repeatable "
              "(default: the whole mail).")  # fmt: skip
@click.option("--function", "functions", multiple=True, metavar="NAME",
              help="A strip of this function; repeatable (implies --section strip).")  # fmt: skip
@click.option("--most", default=5, show_default=True, type=click.IntRange(min=1), metavar="N",
              help="Strips of each architecture and mode.")  # fmt: skip
@click.option("--source", "sourced", is_flag=True,
              help="Strips name source lines: builds every image once more, with line tables.")  # fmt: skip
@results_option
@json_option
def command(
    *,
    run: str,
    sections: tuple[str, ...],
    functions: tuple[str, ...],
    most: int,
    sourced: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Print RUN-ID as plain ASCII of at most 70 columns, safe for `git am`, with the line that reproduces it.

    The strip section shows the functions with failures, an instruction a column, an unwinder a line.
    """
    from lab import store
    from lab.report.mail import check_sections, mail, section

    wanted = list(sections) + (["strip"] if functions and "strip" not in sections else [])
    check_sections(wanted)
    found = store.load_run(store.find_run(run, roots(root)), [])
    if sourced:
        found = with_source_lines(found)
    text = section(found, wanted, functions, most) if wanted else mail(found)
    if as_json:
        print_json({"run_id": found.run_id, "text": text})
    else:
        click.echo(text, nl=False)
