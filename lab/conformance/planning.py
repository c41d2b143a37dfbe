"""Which experiments fill the table in: the pairs its requirements name, each run once.

Two of them, because a run that asks for stops in exception handlers or of tasks that are switched out links every
workload with the small kernel: one without it, for all workloads; one with it, for those that a requirement names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from lab import registry
from lab.conformance.conditions import INSTRUMENTED
from lab.conformance.requirement import Requirement
from lab.conformance.requirements import REQUIREMENTS
from lab.experiment import Experiment
from lab.images.workloads import Workload, all_workloads

RULED: Final = ("fp+irq-flag", "fp+lr-dwarf", "fp+no-exception", "sframe-v6+end-check")
"""Designs with rules that the table shows beside every unwinder there is."""
PLAIN_MODES: Final = frozenset({"boundary", "call"})
ALL_MODES: Final = ("boundary", "call", "inject", "blocked")
STACKS: Final = 1000
"""Differing stacks kept of each cell: a violation is shown by one that was kept."""


def designs() -> tuple[str, ...]:
    """The columns: every unwinder but the oracle, and RULED behind what they are made of."""
    found: list[str] = []
    for unwinder in registry.all_unwinders():
        if not unwinder.oracle:
            found += [unwinder.name, *(name for name in RULED if name.split("+")[0] == unwinder.name)]
    return tuple(found)


def provokes(requirement: Requirement, workload: Workload) -> bool:
    """Whether *workload* has a shape that *requirement* is about."""
    if requirement.everywhere:
        return True
    rows = set(workload.rows)
    else_wrong = bool(rows & set(requirement.without)) or (requirement.interrupts_alone and fails_at_calls(workload))
    by_row = bool(rows & set(requirement.rows)) and not else_wrong
    return workload.name in requirement.workloads or by_row


def fails_at_calls(workload: Workload) -> bool:
    """Whether the header says that some design is wrong there without any interrupt."""
    return any(claim.kind == "fails" and claim.mode == "call" for claim in workload.claims)


def sites(requirement: Requirement, workload: Workload) -> frozenset[str]:
    """The functions of *workload* that count for *requirement*; none named: all."""
    claims = workload.claims if requirement.sited else ()
    return frozenset(claim.function for claim in claims if claim.function)


def experiments(
    arches: Sequence[str],
    unwinders: Sequence[str],
    rows: Sequence[Requirement] = REQUIREMENTS,
    size: Literal["small", "large"] = "small",
) -> tuple[Experiment, ...]:
    """The experiments that *rows* need, for the named architectures and designs (none: all).

    Of the workloads of foreign code, which take long to build, those alone that a row calls by name.
    """
    named = {name for row in rows for name in row.workloads}
    own = [workload for workload in all_workloads() if not workload.foreign or workload.name in named]
    plain = [w.name for w in own if not _needs_kernel(w) and any(_wants_plain(row, w) for row in rows)]
    kernel = [w.name for w in own if any(_wants_kernel(row, w) for row in rows)]
    chosen = [name for name in unwinders or designs() if name != "oracle"]
    shadow = any(registry.unwinder(name).needs_shadow for name in chosen) or any(
        row.proposals == INSTRUMENTED for row in rows
    )
    proposals = ["base", *(INSTRUMENTED if shadow else ())]
    known = registry.names().arches
    names = [name for name in known if not arches or name in arches]
    return tuple(
        Experiment(
            arches=names,
            workloads=workloads,
            proposals=proposals,
            unwinders=[*chosen, "oracle"],
            modes=[mode for mode in ALL_MODES if mode in modes],
            size=size,
            stacks=STACKS,
        )
        for workloads, modes in ((plain, PLAIN_MODES), (kernel, set(ALL_MODES)))
        if workloads
    )


def _needs_kernel(workload: Workload) -> bool:
    return workload.runtime == "kernel"


def _wants_plain(row: Requirement, workload: Workload) -> bool:
    return not row.everywhere and provokes(row, workload) and bool(PLAIN_MODES & set(row.modes))


def _wants_kernel(row: Requirement, workload: Workload) -> bool:
    if row.everywhere or not provokes(row, workload):
        return False
    return _needs_kernel(workload) or (workload.name in row.workloads and not set(row.modes) <= PLAIN_MODES)
