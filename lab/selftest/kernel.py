"""``kernel``: both engines say the same of tasks of the small kernel, exceptions really taken, in all four modes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from lab import registry
from lab.engine.plan import TICK_EVERY, Execution, Injection, Plan
from lab.engine.run import NATIVE, REFERENCE, execute, not_native
from lab.job import Subject
from lab.selftest.cases import LIMITS, Case, Form
from lab.selftest.differences import differences
from lab.selftest.engines import STACKS, all_stops, unwinders_for
from lab.selftest.results import Part
from lab.unwind.api import MODES, Unwinder

EACH_PC = Injection(each=1, every=TICK_EVERY, seed=1)
"""An interrupt at the first execution of every pc, nested ones included; and the timer's, after which tasks change."""
SOME = Injection(every=499, seed=1)
"""For brief cases: interrupts by count only, so that a run has some dozens."""
FEWER = replace(SOME, every=TICK_EVERY)
"""The same where the kernel is rewritten: handlers may then take some 500 instructions, and nothing else would run."""


def kernel(case: Case, subject: Subject) -> Part:
    """Every unwinder that applies and fp under every rule, in all four modes, interrupted at every pc: outcome, retired
    instructions and calls, exceptions taken, switches of tasks, counts per pc and kept stacks; natively with the memo
    and without.  ``stops`` are those of all modes, ``verdicts`` one per stop and unwinder.

    A brief case: without rules, in the two modes that only the kernel has, at few interrupts.
    """
    chosen, notes = unwinders_for(case.arch, shadow=subject.rewrite is not None)
    some = SOME if subject.rewrite is None else FEWER
    plan = Plan(chosen, ("inject", "blocked"), LIMITS, STACKS, injection=some)
    if case.form is not Form.BRIEF:
        chosen += _ruled(case.arch, shadow=subject.rewrite is not None)
        plan = Plan(chosen, tuple(MODES), LIMITS, STACKS, injection=EACH_PC)
    reference = execute(subject.image, subject.rewrite, plan, REFERENCE)
    problems = case.wrong_result(subject, reference.outcome)
    for name, asked in (("native", plan), ("native without memo", replace(plan, memo=False))):
        native = execute(subject.image, subject.rewrite, asked, NATIVE)
        problems += _other_counts(name, native, reference)
        problems += differences(subject.image, chosen, (name, native), (REFERENCE, reference))
    stops = all_stops(reference)
    counts = {
        "exceptions": reference.injections, "switches": reference.switches,
        "stops": stops, "verdicts": stops * len(chosen),
    }  # fmt: skip
    return Part(counts, tuple(f"{case.title}: {p}" for p in problems), notes)


@cache
def _ruled(arch: str, *, shadow: bool) -> tuple[Unwinder, ...]:
    """fp under each rule that it can have there."""
    found = [registry.unwinder(f"fp+{rule.name}") for rule in registry.all_rules()]
    return tuple(u for u in found if u.unsupported(arch, shadow) is None and not not_native(u))


def _other_counts(name: str, native: Execution, reference: Execution) -> list[str]:
    """What only a kernel has: exceptions taken and tasks switched; and who judged."""
    problems = [
        f"{name} has {what} {ours}, {REFERENCE} {theirs}"
        for what, ours, theirs in (
            ("exceptions", native.injections, reference.injections),
            ("switches", native.switches, reference.switches),
        )
        if ours != theirs
    ]
    if any(engine != NATIVE for engine in native.engines):
        problems.append(f"{name}: not all were judged natively: {'; '.join(native.notes)}")
    return problems
