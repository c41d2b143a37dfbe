"""definitions: What the built-in designs see (shadow stacks: tests/test_shadow.py)."""

from __future__ import annotations

import pytest

from lab.registry import unwinder
from lab.unwind.api import BOUNDARY, CALL
from lab.verdict import Doubt
from tests.support import START, assemble, compile_c, execute, verdicts

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""


def test_the_arm64_reliable_walk_refuses_everywhere_in_boundary() -> None:
    execution = execute(compile_c("aarch64", PROGRAM), unwinder("fp-reliable"))
    assert verdicts(execution, BOUNDARY) == {"refused": execution.instructions}
    reasons = {t.judgement.reason for t in execution.tallies if t.mode == BOUNDARY}
    assert reasons == {"exception"}


def test_its_refusals_in_boundary_are_needless_where_the_plain_walk_is_exact() -> None:
    execution = execute(compile_c("aarch64", PROGRAM), unwinder("fp-reliable"), unwinder("fp"))
    exact = verdicts(execution, BOUNDARY, 1)["exact"]
    doubt = dict.fromkeys(Doubt, 0)
    for tally in execution.tallies:
        if tally.mode == BOUNDARY and tally.unwinder == 0:
            doubt[tally.judgement.doubt] += tally.stops
    before_the_record = 5  # instructions of _start: without a FINAL record the walk cannot go on
    assert doubt[Doubt.UNDETERMINED] == before_the_record
    assert doubt[Doubt.NEEDLESS] == exact - before_the_record, "there the plain walk is exact by stopping silently"
    assert doubt[Doubt.NEEDLESS] + doubt[Doubt.JUSTIFIED] == execution.instructions - before_the_record


def test_its_informative_stops_are_calls() -> None:
    execution = execute(compile_c("aarch64", PROGRAM), unwinder("fp-reliable"))
    assert verdicts(execution, CALL) == {"exact": execution.calls}


FINAL = "add x29, sp, #296"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            ("stp xzr, xzr, [sp, #296]\n        mov x9, #1", "stp xzr, xzr, [sp, #296]\n        mov x9, #7"),
            "bad_metadata",
        ),
        ((FINAL, "mov x29, #0"), "fp_off_stack"),
        (
            (FINAL, "stp xzr, xzr, [sp]\n        str x9, [sp, #16]\n        mov x29, sp"),
            "bad_metadata",
        ),
    ],
    ids=["unknown type", "no record: a foreign image", "FINAL outside the task's pt_regs"],
)
def test_it_accepts_the_end_only_at_a_final_record_in_the_tasks_own_pt_regs(
    change: tuple[str, str], reason: str
) -> None:
    start = START["aarch64"]
    assert change[0] in start
    main = (
        "FUNC test_main\n stp x29, x30, [sp, #-16]!\n mov x29, sp\n bl leaf\n mov w0, #0\n"
        " ldp x29, x30, [sp], #16\n ret\nEND test_main\nFUNC leaf\n ret\nEND leaf\n"
    )
    image = assemble("aarch64", start.replace(*change) + main, start=False)
    execution = execute(image, unwinder("fp-reliable"))
    assert execution.outcome.status == 0
    calls = [t for t in execution.tallies if t.mode == CALL]
    assert {(t.judgement.verdict.value, t.judgement.reason) for t in calls} == {("refused", reason)}


def test_the_plain_walk_skips_the_caller_of_an_interrupted_leaf() -> None:
    image = compile_c("aarch64", PROGRAM)
    leaf = image.symbols["leaf"]
    execution = execute(image, unwinder("fp"))
    inside = {t.judgement.verdict.value for t in execution.tallies if t.mode == BOUNDARY and leaf <= t.pc < leaf + 8}
    assert inside == {"missing"}


def test_the_reliable_walk_is_the_arm64_kernels_and_exists_there_only() -> None:
    assert unwinder("fp-reliable").unsupported("x86_64", has_shadow=False)
    assert unwinder("fp-reliable").unsupported("aarch64", has_shadow=False) is None


@pytest.mark.parametrize("name", ["scs", "scs-lr"])
def test_shadow_stack_unwinders_need_a_shadow_stack(name: str) -> None:
    assert unwinder(name).unsupported("aarch64", has_shadow=False)
