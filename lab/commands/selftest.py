"""unwindlab selftest: the lab checked against itself, on this machine."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import click

from lab.commands.common import check_names, json_option, print_json, progress, stdout_kept

if TYPE_CHECKING:
    from lab.selftest.cases import Filters
    from lab.selftest.results import Result
    from lab.selftest.suite import Done


@click.command("selftest", short_help="Check the engines, registers, memory and counts against each other.")
@click.option("--quick", is_flag=True, help="A few small images only; what doctor runs.")
@click.option("--all", "everything", is_flag=True, help="Every workload under every proposal: takes long.")
@click.option("--check", "checks", multiple=True, metavar="NAME", help="Only this check; repeatable.")
@click.option("--brief", is_flag=True, help="Kernel tasks without rules, at few interrupts, stopped there alone.")
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Only this architecture; repeatable.")
@click.option(
    "--workload", "workloads", multiple=True, metavar="NAME", help="Only images of this workload; repeatable."
)
@click.option("--proposal", "proposals", multiple=True, metavar="NAME", help="Only this proposal; repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes side by side (default: one per core).")
@json_option
def command(
    *,
    quick: bool,
    everything: bool,
    checks: tuple[str, ...],
    brief: bool,
    arches: tuple[str, ...],
    workloads: tuple[str, ...],
    proposals: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
) -> None:
    """Check the lab against itself: predicted store addresses against the processor's own, the register pointer,
    guest memory, the native engine with and without its memo against the reference engine at every pc, its counts
    against a plain counter's, and both engines in all stop modes on tasks of the small kernel.

    Without options a selection of images, in some minutes.  --check, --arch, --workload and --proposal narrow what is
    checked, so that --all can be run in slices.  Exits with 1 if anything disagrees.
    """
    from lab.errors import GateError, InputError
    from lab.selftest import suite

    if quick and everything:
        raise InputError("--quick and --all: give one of them, or neither")
    level = suite.QUICK if quick else suite.ALL if everything else suite.DEFAULT
    check_names("check", checks, tuple(suite.CHECKS))
    chosen = suite.tasks(level, _filters(arches, workloads, proposals), checks, brief=brief)
    began = time.monotonic()
    done: list[Done] = []
    try:
        with stdout_kept(), progress() as show:
            for one in suite.run(chosen, 1 if quick and jobs is None else jobs or 0):
                done.append(one)
                show(len(done), len(chosen), one.task.title)
    except BaseException as error:
        if as_json and (done or isinstance(error, KeyboardInterrupt)):
            print_json(_plain(level, suite.results(done), time.monotonic() - began, len(done), len(chosen)))
        elif done and not as_json:
            _print(suite.results(done))
            click.echo(f"stopped: {len(done)} of {len(chosen)} checks of an image were done")
        raise
    found = suite.results(done)
    took = time.monotonic() - began
    if as_json:
        print_json(_plain(level, found, took, len(done), len(chosen)))
    else:
        _print(found)
        _print_totals(found, took)
    failed = [f"{result.check} {result.arch}" for result in found if result.problems]
    if failed:
        raise GateError(f"selftest: {len(failed)} of {len(found)} checks failed: {', '.join(failed)}")


def _filters(arches: tuple[str, ...], workloads: tuple[str, ...], proposals: tuple[str, ...]) -> Filters:
    from lab import registry
    from lab.arch import arch_by_name
    from lab.selftest.cases import Filters

    known = registry.names()
    check_names("workload", workloads, [name for name, _, _ in known.workloads])
    check_names("proposal", proposals, known.proposals)
    return Filters(tuple(arch_by_name(name).name for name in arches), workloads, proposals)


def _print(found: list[Result]) -> None:
    """One line a check, and one for each problem below it."""
    rows = [(r.check, _title(r.arch), r.status.value, f"{r.seconds:.1f} s", r.detail) for r in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for result, (check, arch, status, seconds, detail) in zip(found, rows, strict=True):
        columns = (check.ljust(widths[0]), arch.ljust(widths[1]), status.ljust(widths[2]), seconds.rjust(widths[3]))
        click.echo("  ".join((*columns, detail)))
        for problem in result.problems:
            click.echo(f"  {problem}")


def _title(arch: str) -> str:
    from lab.arch import arch_by_name

    return arch_by_name(arch).title


def _print_totals(found: list[Result], took: float) -> None:
    totals = _totals(found)
    failed = sum(1 for result in found if result.problems)
    click.echo(
        f"engines compared at {totals['stops']} stops, {totals['verdicts']} verdicts: "
        f"{totals['disagreements']} disagreements"
    )
    click.echo(f"{len(found)} checks, {failed} failed, in {took:.1f} s")


def _totals(found: list[Result]) -> dict[str, int]:
    engines = [result for result in found if result.check in {"engines", "kernel"}]
    return {
        "stops": sum(result.counts.get("stops", 0) for result in engines),
        "verdicts": sum(result.counts.get("verdicts", 0) for result in engines),
        "disagreements": sum(len(result.problems) for result in engines),
    }


def _plain(level: str, found: list[Result], took: float, done: int, planned: int) -> dict[str, Any]:
    """For --json.  A task is a check of one image; a self-test stopped before all were done has not passed."""
    checks = [
        dataclasses.asdict(result) | {"status": result.status.value, "problems": list(result.problems)}
        for result in found
    ]
    interrupted = done < planned
    return {
        "level": level,
        "passed": not interrupted and not any(result.problems for result in found),
        "interrupted": interrupted,
        "tasks": {"done": done, "planned": planned},
        "seconds": round(took, 3),
        "totals": _totals(found),
        "checks": checks,
    }
