"""What the claims of workload headers are held against: the stops of one execution per image, judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

from lab import registry
from lab.engine.plan import AFTER_CALL, Plan
from lab.engine.run import execute
from lab.features import Features
from lab.images.claims import Claim
from lab.images.workloads import Workload, all_workloads, workload_by_name
from lab.job import Job, check_outcome, prepare
from lab.machine.machine import Limits
from lab.unwind.api import MODES

COMPILER = "clang"
LIMITS = Limits(400_000, 120.0)

Counts = dict[tuple[str, str, str], Counter[str]]
"""(unwinder, mode, function) -> verdict -> stops."""


@dataclass(frozen=True)
class Case:
    """The claims of a workload about one image: one architecture, one proposal."""

    name: str
    arch: str
    proposal: str

    @property
    def title(self) -> str:
        return f"{self.name}-{self.arch}-{self.proposal}"

    @property
    def workload(self) -> Workload:
        return workload_by_name(self.name)

    @property
    def claims(self) -> tuple[Claim, ...]:
        return tuple(c for c in self.workload.claims if self.arch in c.arches and c.proposal == self.proposal)


@cache
def cases() -> tuple[Case, ...]:
    """Every image that some header says something about."""
    found = [Case(w.name, arch, c.proposal) for w in all_workloads() for c in w.claims for arch in c.arches]
    return tuple(dict.fromkeys(found))


def compiler_of(case: Case) -> str:
    """The proposal's own compiler, or the lab's."""
    return registry.proposal(case.proposal).compiler or COMPILER


def measure(case: Case) -> Counts:
    """Every stop of the case's image in the modes its claims name, judged for the unwinders they name."""
    unwinders = tuple(dict.fromkeys(claim.unwinder for claim in case.claims))
    modes = tuple(mode for mode in MODES if any(claim.mode == mode for claim in case.claims))
    job = Job(case.arch, compiler_of(case), case.name, case.proposal, unwinders, modes, "small", LIMITS, 0)
    subject = prepare(job, registry.proposal(case.proposal), case.workload)
    plan = Plan(tuple(map(registry.unwinder, unwinders)), modes, LIMITS, 0, seed=1)
    execution = execute(subject.image, subject.rewrite, plan, job.engine)
    check_outcome(subject, job, execution.outcome)
    features = Features(subject.image, subject.rewrite)
    names = {number: name for name, number in MODES.items()}
    counts: Counts = {}
    for tally in execution.tallies:
        function = features.at_stop(tally.pc, after_call=tally.mode in AFTER_CALL).function
        key = unwinders[tally.unwinder], names[tally.mode], function
        counts.setdefault(key, Counter())[tally.judgement.verdict.value] += tally.stops
    return counts


def of(claim: Claim, counts: Counts) -> Counter[str]:
    """Verdict -> stops of the cell that *claim* is about."""
    found: Counter[str] = Counter()
    for (unwinder, mode, function), verdicts in counts.items():
        if (unwinder, mode) == (claim.unwinder, claim.mode) and claim.function in {"", function}:
            found += verdicts
    return found


def holds(claim: Claim, seen: Counter[str]) -> bool:
    """Whether *claim* is true of the verdicts *seen* in its cell; nothing is, where there was no stop."""
    if claim.kind == "fails":
        return seen["missing"] + seen["crash"] > 0
    if claim.kind == "refuses":
        return seen["refused"] > 0
    if claim.kind == "adds":
        return seen["extra"] > 0
    return seen.total() > 0 and seen["missing"] + seen["extra"] + seen["crash"] == 0
