"""unwindlab cost: exact counts of what proposals add, by function, class and site, and other prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from lab.commands.common import json_option, print_json, progress, stdout_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.cost.native.measure import NativeRow
    from lab.errors import LabError
    from lab.job import Job


@dataclass(frozen=True)
class _Part:
    """One currency: what is printed, and its part of the JSON object."""

    text: str
    value: dict[str, Any]
    problem: LabError | None = None


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
@click.option("--order", is_flag=True, help="Flavours and modes beside the literature's order instead; see --native.")
@click.option("--samples", type=click.IntRange(min=10), default=20, metavar="N", help="With --native (default: 20).")
@click.option("--aa", "runs", type=click.IntRange(min=1), metavar="N", help="With --native: how far to trust it.")
@json_option
def command(*, native: bool, pipeline: bool, unwind: str | None, order: bool, as_json: bool, **asked: Any) -> None:
    """Execute each workload with and without each proposal, on the same input, and count.

    Counts are exact: instructions, loads, stores, bytes, branches; every added instruction is found at the site that
    executes it, and what is not is said.  They are no times.  A pair that does not exist is left out.  With --check a
    difference is an error (exit code 4).  Pairs that fail are named at the end, after what the others cost.

    --native runs images of this machine's architecture on it, base and variants interleaved.  --aa N measures
    everything twice, and every base against itself N times.  --order says whether parallel costs less than
    memory-pointer, a NOP fill less than a detour, and insertion what the compiler's own does; with --native in time
    too.  --native, --order, --pipeline and --unwind can be combined.
    """
    if asked["runs"] and not native:
        raise click.UsageError("--aa judges native time; give --native too")
    parts: dict[str, _Part] = {}
    timed: Sequence[NativeRow] = ()
    with stdout_kept(), progress() as show:
        if native:
            parts["native"], timed = _native(asked, show)
        if order:
            parts["order"] = _order(asked, timed, show)
        if pipeline:
            parts["pipeline"] = _pipeline(asked["arches"], asked["proposals"])
        if unwind:
            parts["unwind"] = _unwind(_jobs(asked), unwind, show)
        if not parts:
            parts["counts"] = _counts(asked, show)
    if as_json:
        values = {name: part.value for name, part in parts.items()}
        print_json(next(iter(values.values())) if len(values) == 1 else values)
    else:
        click.echo("\n".join(part.text for part in parts.values()), nl=False)
    for part in parts.values():
        if part.problem:
            raise part.problem


def _jobs(asked: dict[str, Any]) -> list[Job]:
    from lab.cost.collect import chosen

    return chosen(asked["arches"], asked["workloads"], asked["proposals"], asked["size"])


def _counts(asked: dict[str, Any], show: Any) -> _Part:
    from lab.cost.collect import collect, failure
    from lab.cost.text import render, row_json

    functions = asked["functions"]
    found, failed = collect(_jobs(asked), show, check=asked["check"])
    problem = failure(failed)
    if problem and not found:
        raise problem
    rows = [row_json(one, functions=functions) for one in found]
    value = {"rows": rows, "size": asked["size"], "failed": problem.lines if problem else []}
    return _Part(render(found, functions=functions), value, problem)


def _native(asked: dict[str, Any], show: Any) -> tuple[_Part, Sequence[NativeRow]]:
    from lab.cost.native.run import Wanted, run_native
    from lab.cost.native.text import render, to_json

    names = (asked["arches"], asked["workloads"], asked["proposals"])
    found = run_native(Wanted(*names, asked["samples"], asked["runs"] or 0), show)
    what = (found.rows, found.todo, found.said, found.trusted)
    return _Part(render(*what), to_json(*what)), found.rows


def _order(asked: dict[str, Any], timed: Sequence[NativeRow], show: Any) -> _Part:
    from lab import registry
    from lab.cost.collect import chosen, collect, failure
    from lab.cost.order import ordered, proposals
    from lab.cost.order_text import render, to_json
    from lab.errors import InputError

    names = asked["proposals"] or proposals()
    known = {name for name, _, _ in registry.names().workloads}
    workloads = [name for name in asked["workloads"] if not timed or name in known]  # --native: programs too
    found, failed = collect(chosen(asked["arches"], workloads, names, asked["size"]), show, check=asked["check"])
    rows = ordered(found, timed)
    problem = failure(failed)
    if not rows:
        raise problem or InputError(f"--order compares two of: {', '.join(proposals())}; name both, or none")
    return _Part(render(rows, timed=bool(timed)), to_json(rows), problem)


def _pipeline(arches: tuple[str, ...], proposals: tuple[str, ...]) -> _Part:
    from lab.arch import arch_by_name
    from lab.cost.pipeline.mca import ABSENT, mca
    from lab.cost.pipeline.pairs import ARCH, measure_pairs
    from lab.cost.pipeline.text import render, to_json
    from lab.errors import InputError

    if arches and ARCH not in [arch_by_name(name).name for name in arches]:
        raise InputError("--pipeline is for arm64: llvm-mca's x86-64 models do not tell these sequences apart")
    if mca() is None:
        return _Part(f"no pipeline models: {ABSENT}\n", {"absent": ABSENT, "rows": []})
    rows, models = measure_pairs(proposals)
    return _Part(render(rows, models), to_json(rows, models))


def _unwind(jobs: list[Job], mode: str, show: Any) -> _Part:
    from lab.cost.unwind_text import render, to_json
    from lab.cost.unwinding import unwind_costs

    rows = []
    for index, job in enumerate(jobs):
        show(index, len(jobs), job.title)
        rows += unwind_costs(replace(job, modes=(mode,)), ())
    return _Part(render(rows, mode), to_json(rows, mode))
