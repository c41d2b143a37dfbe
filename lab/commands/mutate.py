"""unwindlab mutate: plant faults, and see which designs notice."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

import click

import lab
from lab.commands.common import check_names, check_unwinders, json_option, print_json, progress, stdout_kept

if TYPE_CHECKING:
    from lab.mutation.run import Done, Row, Task

WORKLOADS = ("early", "longjmp", "shrinkwrap", "tree")
"""Without --workload: epilogues in the middle, jumps out of calls, late prologues, recursion with callbacks."""
PROPOSAL = "xray-memory-record"
"""Without --proposal: it has a shadow stack on both architectures, so that every design is asked."""
COUNT = 40


@click.command("mutate", short_help="Plant faults in tables, code, memory and rewrites; see who notices.")
@click.option("--arch", "arches", multiple=True, metavar="NAME", help="Architecture; repeatable (default: all).")
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="Workload; repeatable (default: a few).")
@click.option("--unwinder", "unwinders", multiple=True, metavar="NAME", help="Unwinder; repeatable (default: all).")
@click.option("--proposal", default=PROPOSAL, show_default=True, metavar="NAME", help="What the images are made with.")
@click.option("--kind", "kinds", multiple=True, metavar="NAME", help="metadata, code, memory, rewrite (default: all).")
@click.option(
    "--count", default=COUNT, show_default=True, type=click.IntRange(min=1), help="Mutants per image and kind."
)
@click.option("--seed", default=1, show_default=True, type=int, help="Seed of the draw.")
@click.option("--mutant", metavar="ID", help="This mutant alone, with the first stop at which it was silently wrong.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes side by side (default: one per core).")
@json_option
def command(
    *,
    arches: tuple[str, ...],
    workloads: tuple[str, ...],
    unwinders: tuple[str, ...],
    proposal: str,
    kinds: tuple[str, ...],
    count: int,
    seed: int,
    mutant: str | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Plant seeded faults and compare every stop with the unmutated run: per design the share of mutants detected,
    harmless and silently wrong, with its interval.

    docs/mutation.md says what each fault stands for and what the words mean.  Findings alone exit with 0.
    """
    from lab import registry
    from lab.arch import arch_by_name
    from lab.mutation import api, run
    from lab.selftest.cases import Case

    known = registry.names()
    check_unwinders(unwinders, known.unwinders, known.rules)
    if mutant is not None:
        _one(mutant, unwinders or known.unwinders, as_json)
        return
    check_names("workload", workloads, [name for name, _, _ in known.workloads])
    check_names("proposal", [proposal], known.proposals)
    check_names("kind", kinds, api.KINDS)
    chosen_arches = [arch_by_name(name).name for name in arches] or known.arches
    cases = [Case(arch, workload, proposal) for arch in chosen_arches for workload in workloads or WORKLOADS]
    names = unwinders or known.unwinders
    tasks = run.tasks(cases, kinds or api.KINDS, names, count, seed)
    found = _run(tasks, jobs or 0)
    rows = [row for done in found for row in done.rows]
    left_out = list(dict.fromkeys(pair for done in found for pair in done.unsupported))
    left_out += [(done.task.title, "the image has no mutant of this kind") for done in found if not done.rows]
    left_out += [(case.title, reason) for case in cases if (reason := case.absent)]
    _print(rows, left_out, _repro(tasks, unwinders, count, seed), as_json)


def _run(tasks: list[Task], jobs: int) -> list[Done]:
    """All of *tasks*, in their order."""
    from lab.mutation import run

    found: dict[Task, Done] = {}
    with stdout_kept(), progress() as show:
        for done in run.run(tasks, jobs):
            found[done.task] = done
            show(len(found), len(tasks), done.task.title)
    return [found[task] for task in tasks]


def _repro(tasks: list[Task], unwinders: tuple[str, ...], count: int, seed: int) -> str:
    """The command that does the same again."""
    words = ["unwindlab", "mutate", "--proposal", tasks[0].case.proposal]
    for option, values in (
        ("--arch", [task.case.arch for task in tasks]),
        ("--workload", [task.case.workload for task in tasks]),
        ("--kind", [task.kind for task in tasks]),
        ("--unwinder", unwinders),
    ):
        words += [word for value in dict.fromkeys(values) for word in (option, value)]
    words += ["--count", str(count), "--seed", str(seed)]
    return f"{shlex.join(words)}   (unwindlab {lab.__version__})"


def _print(rows: list[Row], left_out: list[tuple[str, str]], repro: str, as_json: bool) -> None:
    from lab.mutation.summary import tables
    from lab.mutation.text import render

    found = tables(rows)
    if not as_json:
        click.echo(render(found, left_out, repro), nl=False)
        return
    plain: dict[str, Any] = {"tables": [table.to_json() for table in found], "mutants": [_plain(row) for row in rows]}
    print_json(plain | {"left_out": left_out, "repro": repro})


def _plain(row: Row) -> dict[str, Any]:
    return dataclasses.asdict(row) | {
        "fates": {name: dataclasses.asdict(fate) | {"klass": fate.klass.value} for name, fate in row.fates.items()}
    }


def _one(name: str, unwinders: tuple[str, ...], as_json: bool) -> None:
    """One mutant, run again and explained."""
    from lab.mutation.show import show

    with stdout_kept():
        found = show(name, unwinders)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.to_text(), nl=False)
