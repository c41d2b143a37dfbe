"""unwindlab bench: how fast the engines are, against bare unicorn and a walk in plain Python."""

from __future__ import annotations

import click

from lab.commands.common import json_option, print_json, progress


@click.command("bench", short_help="Measure how fast the engines are.")
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Architecture; repeatable (default: all).")
@click.option(
    "--workload", "workloads", multiple=True, metavar="NAME", help="Bench program; repeatable (default: all)."
)
@click.option(
    "--proposal", metavar="NAME", help="One with a shadow stack (default: pac-register-use, xray-memory-use)."
)
@click.option("--repeat", type=click.IntRange(min=1), metavar="N", help="Repetitions (default: 5; with --quick 1).")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: shows that it works, no more.")
@json_option
def command(
    *,
    arches: tuple[str, ...],
    workloads: tuple[str, ...],
    proposal: str | None,
    repeat: int | None,
    quick: bool,
    as_json: bool,
) -> None:
    """Compare the speed of every engine with bare unicorn, in one run of some minutes.

    Limits that do not hold exit with 0 too: it is a measurement.
    """
    import dataclasses
    from statistics import median

    from lab.bench.limits import findings
    from lab.bench.measure import measure
    from lab.bench.start import measure_start
    from lab.bench.subjects import choose
    from lab.bench.text import render

    subjects = choose(arches, workloads, proposal)
    times = repeat or (1 if quick else 5)
    with progress() as show:
        rows = measure(subjects, times, show, quick=quick)
        first = subjects[0]
        starts = [measure_start(first.arch.name, first.workload, first.proposal) for _ in range(times)]
    walls, cpu_s = [start.wall_s for start in starts], median(start.cpu_s for start in starts)
    found = findings(rows, median(walls))
    if not as_json:
        click.echo(render(rows, found, cpu_s), nl=False)
        return
    print_json(
        {
            "rows": [dataclasses.asdict(row) for row in rows],
            "start": {
                "seconds": median(walls),
                "min": min(walls),
                "max": max(walls),
                "cpu_s": cpu_s,
                "repeat": times,
            },
            "limits": [dataclasses.asdict(finding) for finding in found],
            "quick": quick,
        }
    )
