"""unwindlab cost: exact counts of what proposals add, by function, class and site, and other prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lab.commands.common import json_option, print_json, progress, stdout_kept

if TYPE_CHECKING:
    from lab.cost.native.run import Wanted
    from lab.job import Job


@click.command("cost", short_help="Say what proposals cost: per call, per byte, per core.")
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Architecture; repeatable (default: all).")
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="Workload; repeatable (default: all).")
@click.option("--proposal", "proposals", multiple=True, metavar="NAME", help="Proposal; repeatable (default: all).")
@click.option("--size", type=click.Choice(["small", "large"]), default="small", help="Input size (default: small).")
@click.option("--functions", is_flag=True, help="Per function and per site too.")
@click.option("--check", is_flag=True, help="Compare every count with an independent one (qemu-user, plain hooks).")
@click.option("--native", is_flag=True, help="Time the images on this machine instead; --workload names programs.")
@click.option("--pipeline", is_flag=True, help="Cycles of prologue and epilogue by llvm-mca's models instead (arm64).")
@click.option("--unwind", type=click.Choice(["call", "boundary"]), help="What walks read at such stops instead.")
@click.option("--samples", type=click.IntRange(min=10), default=20, metavar="N", help="With --native (default: 20).")
@click.option("--aa", "runs", type=click.IntRange(min=1), metavar="N", help="With --native: how far to trust it.")
@json_option
def command(
    *,
    arches: tuple[str, ...],
    workloads: tuple[str, ...],
    proposals: tuple[str, ...],
    size: str,
    functions: bool,
    check: bool,
    native: bool,
    pipeline: bool,
    unwind: str | None,
    samples: int,
    runs: int | None,
    as_json: bool,
) -> None:
    """Execute each workload with and without each proposal, on the same input, and count.

    Counts are exact: instructions, loads, stores, bytes, branches; every added instruction is found at the site that
    executes it, and what is not is said.  They are no times.  A pair that does not exist is left out.  With --check a
    difference is an error (exit code 4).

    --native runs images of this machine's architecture on it, base and variants interleaved.  --aa N measures
    everything twice, and every base against itself N times.
    """
    if native:
        from lab.cost.native.run import Wanted

        _native(Wanted(arches, workloads, proposals, samples, runs or 0), as_json)
        return
    if pipeline:
        _pipeline(arches, proposals, as_json)
        return
    if runs:
        raise click.UsageError("--aa judges native time; give --native too")
    from lab.cost.collect import chosen, collect
    from lab.cost.text import render, row_json

    asked = chosen(arches, workloads, proposals, size)
    if unwind:
        _unwind(asked, unwind, as_json)
        return
    with stdout_kept(), progress() as show:
        found = collect(asked, show, check=check)
    if not as_json:
        click.echo(render(found, functions=functions), nl=False)
        return
    value: dict[str, Any] = {"rows": [row_json(one, functions=functions) for one in found], "size": size}
    print_json(value)


def _native(wanted: Wanted, as_json: bool) -> None:
    from lab.cost.native.run import run_native
    from lab.cost.native.text import render, to_json

    with stdout_kept(), progress() as show:
        found = run_native(wanted, show)
    if as_json:
        print_json(to_json(found.rows, found.todo, found.said, found.trusted))
    else:
        click.echo(render(found.rows, found.todo, found.said, found.trusted), nl=False)


def _pipeline(arches: tuple[str, ...], proposals: tuple[str, ...], as_json: bool) -> None:
    from lab.arch import arch_by_name
    from lab.cost.pipeline.pairs import ARCH, measure_pairs
    from lab.cost.pipeline.text import render, to_json
    from lab.errors import InputError

    if arches and ARCH not in [arch_by_name(name).name for name in arches]:
        raise InputError("--pipeline is for arm64: llvm-mca's x86-64 models do not tell these sequences apart")
    rows, models = measure_pairs(proposals)
    if as_json:
        print_json(to_json(rows, models))
    else:
        click.echo(render(rows, models), nl=False)


def _unwind(asked: list[Job], mode: str, as_json: bool) -> None:
    from dataclasses import replace

    from lab.cost.unwind_text import render, to_json
    from lab.cost.unwinding import unwind_costs

    rows = []
    with stdout_kept(), progress() as show:
        for index, job in enumerate(asked):
            show(index, len(asked), job.title)
            rows += unwind_costs(replace(job, modes=(mode,)), ())
    if as_json:
        print_json(to_json(rows, mode))
    else:
        click.echo(render(rows, mode), nl=False)
