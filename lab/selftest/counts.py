"""``counts``: the native engine's counts, and those that costs are made of, against a plain counter's."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from lab import registry
from lab.arch.decode import Kind
from lab.cost.counts import Counts, count, count_plainly
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Plan
from lab.job import Subject
from lab.machine.machine import Machine
from lab.selftest.cases import LIMITS, Case
from lab.selftest.results import Part
from lab.unwind.api import BOUNDARY, CALL


def counts(case: Case, subject: Subject) -> Part:
    """Stops at each pc, added up over verdicts, are the times its instruction retired, or its call did; and retired
    instructions, calls, loads and stores are the same by the native counter and by Python hooks.
    """
    unwinders = (registry.unwinder("fp"), registry.unwinder("oracle"))
    execution = NativeEngine(subject.image, subject.rewrite, Plan(unwinders, ("boundary", "call"), LIMITS, 0)).run()
    retired, returns = _plain(subject)
    problems = case.wrong_result(subject, execution.outcome)
    problems += [
        f"native counts {got} {noun}, a plain counter {expected}"
        for noun, got, expected in (
            ("instructions", execution.instructions, retired.total()),
            ("calls", execution.calls, returns.total()),
        )
        if got != expected
    ]
    for index, unwinder in enumerate(unwinders):
        for name, mode, expected_at in (("boundary", BOUNDARY, retired), ("call", CALL, returns)):
            stops: Counter[int] = Counter()
            for tally in execution.tallies:
                if (tally.unwinder, tally.mode) == (index, mode):
                    stops[tally.pc] += tally.stops
            pc = min((pc for pc in stops | expected_at if stops[pc] != expected_at[pc]), default=None)
            if pc is not None:
                place = f"{pc:#x} ({subject.image.locate(pc)}) {unwinder.name} {name}"
                problems.append(f"{place}: native counts {stops[pc]} stops, a plain counter {expected_at[pc]}")
    problems += _costs(subject)
    return Part(
        {"instructions": retired.total(), "calls": returns.total(), "pcs": len(retired)},
        tuple(f"{case.title}: {problem}" for problem in problems),
    )


def _costs(subject: Subject) -> list[str]:
    layout = subject.rewrite.layout if subject.rewrite else None
    native, plain = (how(subject.image, layout, LIMITS) for how in (count, count_plainly))
    return [
        f"the native counter has {field.name} {getattr(native, field.name)}, a plain one {getattr(plain, field.name)}"
        for field in fields(Counts)
        if getattr(native, field.name) != getattr(plain, field.name)
    ]


def _plain(subject: Subject) -> tuple[Counter[int], Counter[int]]:
    """pc -> times its instruction retired; return address -> times a call to before it did."""
    machine = Machine(subject.image, subject.rewrite.layout if subject.rewrite else None, LIMITS)
    retired: Counter[int] = Counter()
    returns: Counter[int] = Counter()
    called: int | None = None

    def look(pc: int) -> None:
        nonlocal called
        retired[pc] += 1
        if called is not None:
            returns[called] += 1
        insn = machine.insn_at(pc)
        called = insn.end if insn.kind is Kind.CALL else None

    machine.execute(look)
    return retired, returns
