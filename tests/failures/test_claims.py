"""What workload headers say about designs is so, and the field's failure modes all have a workload that shows them."""

from __future__ import annotations

from collections import Counter

import pytest

from lab import registry
from lab.arch import arch_by_name
from lab.images.claims import KINDS, STOP_MODES, Claim
from lab.images.toolchain import missing_compiler
from lab.images.workloads import all_workloads
from lab.unwind.api import MODES
from tests.failures.measured import Case, cases, compiler_of, holds, measure, of


@pytest.mark.parametrize("case", [pytest.param(case, id=case.title) for case in cases()])
def test_every_claim_is_so(case: Case) -> None:
    if reason := missing_compiler(compiler_of(case), arch_by_name(case.arch)):
        pytest.skip(reason)
    counts = measure(case)
    seen = {claim.text(case.workload.arches): of(claim, counts) for claim in case.claims}
    wrong = {text: dict(seen[text]) for c in case.claims if not holds(c, seen[text := c.text(case.workload.arches)])}
    assert wrong == {}


def test_claims_name_what_exists() -> None:
    for case in cases():
        proposal = registry.proposal(case.proposal)
        assert proposal.unsupported(case.arch, compiler_of(case)) is None, case.title
        shadow = proposal.rewrite is not None or bool(proposal.compiler)
        for claim in case.claims:
            assert registry.unwinder(claim.unwinder).unsupported(case.arch, shadow) is None, claim
    assert tuple(MODES) == STOP_MODES


def test_whoever_fails_somewhere_is_not_said_to_survive_there() -> None:
    for workload in all_workloads():
        said = {
            (c.kind, c.unwinder, c.mode, c.function, c.proposal, arch) for c in workload.claims for arch in c.arches
        }
        wrong = {kind_and_rest for kind_and_rest in said if kind_and_rest[0] in {"fails", "adds"}}
        assert not {rest for _, *rest in map(list, wrong) if ("survives", *rest) in said}


def claim(kind: str) -> Claim:
    return Claim(kind, "fp", "call", "", ("aarch64",), "base")


@pytest.mark.parametrize(
    ("seen", "true"),
    [
        ({}, set()),
        ({"exact": 3}, {"survives"}),
        ({"exact": 3, "refused": 1}, {"survives", "refuses"}),
        ({"exact": 3, "missing": 1}, {"fails"}),
        ({"crash": 1}, {"fails"}),
        ({"exact": 3, "extra": 1}, {"adds"}),
        ({"refused": 3, "missing": 1}, {"fails", "refuses"}),
    ],
)
def test_what_each_kind_of_claim_means(seen: dict[str, int], true: set[str]) -> None:
    assert {kind for kind in KINDS if holds(claim(kind), Counter(seen))} == true
