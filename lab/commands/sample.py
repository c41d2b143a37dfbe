"""unwindlab sample: check tasks at random moments, and see how often a design refuses and what that delays."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

import click

import lab
from lab.commands.common import check_names, check_unwinders, json_option, print_json, progress, stdout_kept

if TYPE_CHECKING:
    from lab.sampling.draw import Done, Model, Task

WORKLOADS = ("regex", "sha256", "tree")
"""Without --workload: much is preempted; long leaf functions; recursion with callbacks."""
_RULES = ("irq-flag", "exception-flag", "no-pt-regs", "pstate")
_WALKS = {"aarch64": ("fp", "fp-reliable"), "x86_64": ("fp-x86", "fp-x86-reliable")}
"""Without --unwinder: the architecture's plain walk, the same under each rule of _RULES, and its reliable one."""
TICK = 1999
_positive = click.IntRange(min=1)


@click.command("sample", short_help="Check tasks at random moments: refusals, and retries of a transition.")
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Architecture; repeatable (default: all).")
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="Workload; repeatable (default: a few).")
@click.option("--unwinder", "unwinders", multiple=True, metavar="NAME", help="Design; repeatable (default: flags).")
@click.option("--proposal", default="base", show_default=True, metavar="NAME", help="What the images are made with.")
@click.option("--runs", default=40, show_default=True, type=_positive, help="Runs of each image, one transition each.")
@click.option("--checks", default=10, show_default=True, type=_positive, help="Moments of a run: all tasks checked.")
@click.option("--tick", default=TICK, show_default=True, type=_positive, help="Instructions between timer interrupts.")
@click.option("--period", default=1000, show_default=True, type=_positive, help="Instructions from try to try.")
@click.option("--tries", default=10, show_default=True, type=_positive, help="Most tries of a transition.")
@click.option("--seed", default=1, show_default=True, type=int, help="Seed of timer and moments.")
@click.option("--jobs", type=_positive, metavar="N", help="Processes side by side (default: one per core).")
@json_option
def command(
    *,
    arches: tuple[str, ...],
    workloads: tuple[str, ...],
    unwinders: tuple[str, ...],
    proposal: str,
    jobs: int | None,
    as_json: bool,
    **model: int,
) -> None:
    """Run workloads as tasks of the small kernel under a random timer, and check every task at random moments: the
    share of checks that a design refuses, and how many retries a live-patching transition needs.

    docs/sampling.md says what is a model here and what was measured.  Findings alone exit with 0.
    """
    from lab import registry
    from lab.arch import arch_by_name
    from lab.sampling.draw import Model, Task
    from lab.selftest.cases import Case, Form

    known = registry.names()
    check_unwinders(unwinders, known.unwinders, known.rules)
    check_names("workload", workloads, [name for name, _, _ in known.workloads])
    check_names("proposal", [proposal], known.proposals)
    chosen_arches = [arch_by_name(name).name for name in arches] or known.arches
    cases = [
        Case(arch, workload, proposal, Form.KERNEL) for arch in chosen_arches for workload in workloads or WORKLOADS
    ]
    drawn = Model(**model)
    tasks = [Task(case, unwinders or _designs(case.arch), drawn) for case in dict.fromkeys(cases) if case.exists]
    left_out = [(case.title, reason) for case in dict.fromkeys(cases) if (reason := case.absent)]
    _check(tasks, [case.title for case in cases])
    found = _run(tasks, jobs or 0)
    _print(found, drawn, left_out, _repro(tasks, unwinders, drawn), as_json)


def _designs(arch: str) -> tuple[str, ...]:
    """What is compared where nothing is said."""
    plain, reliable = _WALKS[arch]
    return ("oracle", plain, *(f"{plain}+{rule}" for rule in _RULES), reliable)


def _check(tasks: list[Task], titles: list[str]) -> None:
    from lab.errors import InputError

    if not tasks:
        raise InputError(f"sample: there is no image {' or '.join(titles)} with the small kernel; see unwindlab list")


def _run(tasks: list[Task], jobs: int) -> list[Done]:
    """All of *tasks*, in their order."""
    from lab.sampling import draw

    found: dict[int, Done] = {}
    with stdout_kept(), progress() as show:
        for index, done in draw.run(tasks, jobs):
            found[index] = done
            show(len(found), len(tasks), done.task.case.title)
    return [found[index] for index in range(len(tasks))]


def _repro(tasks: list[Task], unwinders: tuple[str, ...], model: Model) -> str:
    """The command that does the same again."""
    words = ["unwindlab", "sample", "--proposal", tasks[0].case.proposal]
    for option, values in (
        ("--arch", [task.case.arch for task in tasks]),
        ("--workload", [task.case.workload for task in tasks]),
        ("--unwinder", unwinders),
    ):
        words += [word for value in dict.fromkeys(values) for word in (option, value)]
    words += [word for name, value in dataclasses.asdict(model).items() for word in (f"--{name}", str(value))]
    return f"{shlex.join(words)}   (unwindlab {lab.__version__})"


def _print(found: list[Done], model: Model, left_out: list[tuple[str, str]], repro: str, as_json: bool) -> None:
    from lab.sampling.summary import rows
    from lab.sampling.text import render

    left_out = [*(pair for done in found for pair in done.unsupported), *left_out]
    table = rows(found)
    if not as_json:
        click.echo(render(found, table, model, left_out, repro), nl=False)
        return
    plain = {"model": dataclasses.asdict(model), "rows": [row.to_json() for row in table]}
    print_json(plain | {"left_out": left_out, "repro": repro})
