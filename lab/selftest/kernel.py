"""``kernel``: workloads as tasks of the small kernel, in all four kinds of stop: both engines say the same."""

from __future__ import annotations

from dataclasses import replace

from lab import registry
from lab.engine.plan import Execution, Injection, Plan
from lab.engine.run import NATIVE, REFERENCE, execute
from lab.images.workloads import workload_by_name
from lab.job import Subject, prepare
from lab.selftest.cases import LIMITS, Case
from lab.selftest.differences import differences
from lab.selftest.engines import STACKS, native_unwinders
from lab.selftest.results import Part
from lab.unwind.api import MODES


def kernel(case: Case, _subject: Subject) -> Part:
    """Counts per pc and kept stacks of every design in ``boundary``, ``call``, ``inject`` and ``blocked``, exceptions
    taken at the first execution of each instruction: natively with the memo and without, and in the reference engine.

    Designs that do not exist on several stacks are left out."""
    job = replace(case.job, modes=tuple(MODES))
    image = prepare(job, registry.proposal(case.proposal), workload_by_name(case.workload))
    usable, notes = native_unwinders(case.arch, shadow=False)
    chosen = tuple(unwinder for unwinder in usable if not unwinder.hardware)
    plan = Plan(chosen, tuple(MODES), LIMITS, STACKS, injection=Injection(each=1))
    reference = execute(image.image, None, plan, REFERENCE)
    problems = case.wrong_result(image, reference.outcome)
    for name, part in (("native", plan), ("native without memo", replace(plan, memo=False))):
        found = execute(image.image, None, part, NATIVE)
        problems += differences(image.image, chosen, (name, found), (REFERENCE, reference))
    counts = {"stops": _stops(reference), "verdicts": _stops(reference) * len(chosen)}
    counts |= {"exceptions": reference.injections, "switches": reference.switches}
    return Part(counts, tuple(f"{case.title}: {problem}" for problem in problems), notes)


def _stops(execution: Execution) -> int:
    return sum(tally.stops for tally in execution.tallies if tally.unwinder == 0)
