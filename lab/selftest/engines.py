"""``engines``: the native engine with its memo, without, and the reference engine say the same at every pc."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from lab import registry
from lab.engine.plan import Execution, Plan
from lab.engine.run import NATIVE, REFERENCE, execute, not_native
from lab.job import Subject
from lab.selftest.cases import LIMITS, Case
from lab.selftest.differences import differences
from lab.selftest.results import Part
from lab.unwind.api import MODES, Unwinder

STACKS = 8
"""Kept per unwinder and mode, and compared too."""


def engines(case: Case, subject: Subject) -> Part:
    """Three executions of *subject* with every unwinder and both modes: outcome, retired instructions and calls, counts
    per pc, and kept stacks.  ``stops`` are those of all modes, ``verdicts`` one per stop and unwinder.
    """
    chosen, notes = _unwinders(case.arch, subject.rewrite is not None)
    plan = Plan(chosen, tuple(MODES), LIMITS, STACKS)
    reference = execute(subject.image, subject.rewrite, plan, REFERENCE)
    problems = case.wrong_result(subject, reference.outcome)
    for name, memo in (("native", True), ("native without memo", False)):
        execution = execute(subject.image, subject.rewrite, replace(plan, memo=memo), NATIVE)
        problems += [
            f"{name}: {unwinder.name} was judged by the {engine} engine: {'; '.join(execution.notes)}"
            for unwinder, engine in zip(chosen, execution.engines, strict=True)
            if engine != NATIVE
        ]
        problems += differences(subject.image, chosen, (name, execution), (REFERENCE, reference))
    stops = _stops(reference)
    return Part({"stops": stops, "verdicts": stops * len(chosen)}, tuple(f"{case.title}: {p}" for p in problems), notes)


def _stops(execution: Execution) -> int:
    """Stops of all modes: what the tallies of one unwinder add up to."""
    return sum(tally.stops for tally in execution.tallies if tally.unwinder == 0)


@cache
def _unwinders(arch: str, shadow: bool) -> tuple[tuple[Unwinder, ...], tuple[str, ...]]:
    """The unwinders that apply, and a note for each that has no native form to compare."""
    usable = [u for u in registry.all_unwinders() if u.unsupported(arch, shadow) is None]
    reasons = {unwinder.name: not_native(unwinder) for unwinder in usable}
    notes = tuple(f"{name} is not compared: no native form: {reason}" for name, reason in reasons.items() if reason)
    return tuple(unwinder for unwinder in usable if not reasons[unwinder.name]), notes
