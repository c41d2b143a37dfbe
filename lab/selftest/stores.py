"""``stores``: the address the native engine predicts for each store against the processor's own report."""

from __future__ import annotations

from lab.engine.native.crosscheck import check_stores
from lab.job import Subject
from lab.selftest.cases import LIMITS, Case
from lab.selftest.results import Part


def stores(case: Case, subject: Subject) -> Part:
    """Every executed instruction: what it wrote lies within its prediction, and it had one if it wrote."""
    layout = subject.rewrite.layout if subject.rewrite else None
    check = check_stores(subject.image, layout, LIMITS)
    problems = [f"{case.title}: {line}" for line in check.wrong]
    if check.faults > len(problems):
        problems.append(f"{case.title}: {check.faults - len(problems)} more like these")
    if not check.matched:
        problems.append(f"{case.title}: not one store was compared; this is a fault of the lab")
    return Part({"instructions": check.instructions, "predicted stores": check.matched}, tuple(problems))
