"""``engines``: the native engine with its memo, without, and the reference engine say the same at every pc."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Outcome, retired instructions and calls, counts per pc and kept stacks of every unwinder in both modes.

    Natively with the memo and without, and with the memo each unwinder and each mode alone too: what one reads can
    hide that another, or a feature, was not asked again.  ``stops`` are those of all modes in one execution,
    ``verdicts`` one per stop and unwinder.
    """
    chosen, notes = unwinders_for(case.arch, shadow=subject.rewrite is not None)
    plan = Plan(chosen, ("boundary", "call"), LIMITS, STACKS)
    reference = execute(subject.image, subject.rewrite, plan, REFERENCE)
    problems = case.wrong_result(subject, reference.outcome)
    for name, part in _plans(plan):
        execution = execute(subject.image, subject.rewrite, part, NATIVE)
        problems += [
            f"{name}: {unwinder.name} was judged by the {engine} engine: {'; '.join(execution.notes)}"
            for unwinder, engine in zip(part.unwinders, execution.engines, strict=True)
            if engine != NATIVE
        ]
        oracle = only(reference, plan, part)
        problems += differences(subject.image, part.unwinders, (name, execution), (REFERENCE, oracle))
    stops = all_stops(reference)
    return Part({"stops": stops, "verdicts": stops * len(chosen)}, tuple(f"{case.title}: {p}" for p in problems), notes)


def _plans(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """What is executed natively, by name."""
    yield "native", plan
    yield "native without memo", replace(plan, memo=False)
    for unwinder in plan.unwinders:
        yield f"native with {unwinder.name} alone", replace(plan, unwinders=(unwinder,))
    for mode in plan.modes:
        yield f"native with {mode} alone", replace(plan, modes=(mode,))


def only(execution: Execution, plan: Plan, part: Plan) -> Execution:
    """What *execution* of *plan* says of the unwinders and modes of *part*."""
    place = {plan.unwinders.index(unwinder): index for index, unwinder in enumerate(part.unwinders)}
    modes = {MODES[mode] for mode in part.modes}
    return replace(
        execution,
        tallies=tuple(
            replace(tally, unwinder=place[tally.unwinder])
            for tally in execution.tallies
            if tally.unwinder in place and tally.mode in modes
        ),
        stacks=tuple(
            replace(kept, unwinder=place[kept.unwinder])
            for kept in execution.stacks
            if kept.unwinder in place and kept.mode in modes
        ),
    )


def all_stops(execution: Execution) -> int:
    """Stops of all modes: what the tallies of one unwinder add up to."""
    return sum(tally.stops for tally in execution.tallies if tally.unwinder == 0)


@cache
def unwinders_for(arch: str, *, shadow: bool) -> tuple[tuple[Unwinder, ...], tuple[str, ...]]:
    """The unwinders that apply to such images, and a note for each that has no native form to compare."""
    usable = [u for u in registry.all_unwinders() if u.unsupported(arch, shadow) is None]
    reasons = {unwinder.name: not_native(unwinder) for unwinder in usable}
    notes = tuple(f"{name} is not compared: no native form: {reason}" for name, reason in reasons.items() if reason)
    return tuple(unwinder for unwinder in usable if not reasons[unwinder.name]), notes
