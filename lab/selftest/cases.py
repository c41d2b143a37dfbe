"""Which images are checked, and the images themselves: built and rewritten as a run does it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from lab import registry
from lab.engine.plan import KERNEL_MODES
from lab.errors import InputError, LabError
from lab.images.workloads import workload_by_name
from lab.job import Job, Subject, check_outcome, prepare, unsupported
from lab.machine.machine import Limits, Outcome

LIMITS = Limits(2_000_000, 900.0)
"""The time is for the slowest engine on a busy machine: counts are compared, and must not depend on it."""

SMALL = ("longjmp", "deep")
"""Workloads of some 2,000 instructions; setjmp and recursion."""


class Form(enum.IntEnum):
    """What the workload is linked with, and how much of it is compared by a check that has to choose."""

    PLAIN = 0
    KERNEL = 1  # the small kernel: main is one of its tasks
    BRIEF = 2  # the same; at few places


@dataclass(frozen=True, order=True)
class Case:
    """One image: a workload's small input under a proposal."""

    arch: str
    workload: str
    proposal: str = "base"
    form: Form = Form.PLAIN

    @property
    def title(self) -> str:
        return f"{self.arch} {self.workload} {self.proposal}"

    @property
    def exists(self) -> bool:
        """Whether there is such an image: workload and proposal exist on the architecture, and their compiler here."""
        return self.absent is None

    @property
    def absent(self) -> str | None:
        """Why there is no such image, None if there is one."""
        return unsupported(self._job)

    def subject(self) -> Subject:
        """The image, from the cache or built; errors say what is missing."""
        return prepare(self._job, registry.proposal(self.proposal), workload_by_name(self.workload))

    def wrong_result(self, subject: Subject, outcome: Outcome) -> list[str]:
        """What is wrong with the program's own result, which is known; empty where it is as it must be."""
        try:
            check_outcome(subject, self._job, outcome)
        except LabError as error:
            return error.lines
        return []

    @property
    def _job(self) -> Job:
        compiler = registry.proposal(self.proposal).compiler or "clang"
        modes = tuple(KERNEL_MODES) if self.form else ()
        return Job(self.arch, compiler, self.workload, self.proposal, (), modes, "small", LIMITS, 0)


@dataclass(frozen=True)
class Filters:
    """Names that are wanted; empty: all."""

    arches: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ()

    def choose(self, cases: list[Case]) -> list[Case]:
        """The *cases* wanted that exist, each once; variants (Proposal.variant) that are named, wherever base is."""
        named = [name for name in self.proposals if name in registry.names().variants]
        cases = [*cases, *(replace(case, proposal=name) for case in cases if case.proposal == "base" for name in named)]
        wanted = [
            case
            for case in dict.fromkeys(cases)
            if case.arch in (self.arches or (case.arch,))
            and case.workload in (self.workloads or (case.workload,))
            and case.proposal in (self.proposals or (case.proposal,))
        ]
        return [case for case in wanted if case.exists]


def every(form: Form = Form.PLAIN) -> list[Case]:
    """Every workload under every proposal but the variants on every architecture, by workload; some do not exist."""
    names = registry.names()
    return [
        Case(arch, workload, proposal, form)
        for workload, _, _ in names.workloads
        for arch in names.arches
        for proposal in names.default_proposals
    ]


def of(workloads: tuple[str, ...], proposals: tuple[str, ...], form: Form = Form.PLAIN) -> list[Case]:
    """These, on every architecture."""
    return [Case(arch, w, p, form) for w in workloads for arch in registry.names().arches for p in proposals]


def all_workloads(proposal: str = "base", form: Form = Form.PLAIN) -> list[Case]:
    """Every workload under one proposal."""
    return of(tuple(name for name, _, _ in registry.names().workloads), (proposal,), form)


def nothing_left(filters: Filters) -> InputError:
    """The error for filters that leave no image."""
    given = " ".join((*filters.arches, *filters.workloads, *filters.proposals))
    return InputError(f"selftest: no image to check is left by '{given}'; --all has every one that exists")
