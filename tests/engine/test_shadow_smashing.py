"""The guest that smashes its shadow stack, in the reference engine: each smash shows, each restore mends."""

from __future__ import annotations

from collections import defaultdict

import pytest

from lab.engine.reference import Execution, Plan, ReferenceEngine
from lab.layout import Flavour, Policy
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY
from tests.engine.shadow_smashing import CASES, ShadowCase, arm, shadow_program
from tests.engine.smashing import marks

UNWINDERS = tuple(unwinder(name) for name in ("scs", "scs-lr", "fp", "oracle"))
POINTED = [case for case in CASES if case.flavour is not Flavour.PARALLEL]
PARALLEL = [case for case in CASES if case.flavour is Flavour.PARALLEL]


def run(case: ShadowCase) -> Execution:
    image, rewrite = shadow_program(case)
    engine = ReferenceEngine(image, rewrite, Plan(UNWINDERS, ("boundary", "call"), Limits(100_000, 60), stacks=0))
    arm(engine.machine, rewrite)
    execution = engine.run()
    assert execution.outcome.status == 0, execution.outcome
    assert {t.judgement.verdict.value for t in execution.tallies if t.unwinder == 3} == {"exact"}
    return execution


def seen(execution: Execution, index: int) -> dict[int, set[str]]:
    """pc -> the verdicts of unwinder number *index* there."""
    found: dict[int, set[str]] = defaultdict(set)
    for tally in execution.tallies:
        if (tally.mode, tally.unwinder) == (BOUNDARY, index):
            found[tally.pc].add(tally.judgement.verdict.value)
    return found


@pytest.mark.parametrize("index", [0, 1], ids=["scs", "scs-lr"])
@pytest.mark.parametrize("case", POINTED, ids=[case.title for case in POINTED])
def test_an_overwritten_entry_shows_while_it_is_wrong(case: ShadowCase, index: int) -> None:
    """Words above the pointer are overwritten too: they do not matter."""
    execution, places = run(case), marks(shadow_program(case)[0])
    verdicts = seen(execution, index)
    assert len(places["both"]) == 5
    for pc in places["both"]:
        assert "exact" in verdicts[pc]
        assert len(verdicts[pc]) > 1
    moved = case.policy is Policy.RECORD  # a moved pointer would change where ``use`` and ``check`` return to
    for pc in places["heal"]:
        assert verdicts[pc] <= {"exact"}
    for pc in places["hit"]:
        assert "exact" not in verdicts[pc]
        assert bool(verdicts[pc]) == moved


@pytest.mark.parametrize("case", PARALLEL, ids=[case.title for case in PARALLEL])
def test_a_parallel_shadow_stack_loses_a_caller_while_its_word_is_wrong(case: ShadowCase) -> None:
    """What earlier calls left behind may be reported besides: exact or extra where nothing is wrong."""
    verdicts, places = seen(run(case), 0), marks(shadow_program(case)[0])
    for pc in places["both"]:
        assert "missing" in verdicts[pc]
        assert verdicts[pc] & {"exact", "extra"}
    mended = [pc for pc in places["heal"] if verdicts[pc]]
    assert len(mended) == 5
    for pc in mended:
        assert verdicts[pc] <= {"exact", "extra"}


def test_without_orders_nothing_is_smashed() -> None:
    """Otherwise the rewrite's own balance check would have refused the guest."""
    image, rewrite = shadow_program(POINTED[0])
    assert rewrite.checks["shadow_balance"] == "passed"
    assert rewrite.checks["shadow_balance_stops"] > 0
    assert all(image.read(image.symbols[name], 8) == bytes(8) for name in ("shadow_base", "shadow_words"))
