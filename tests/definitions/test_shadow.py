"""definitions: what shadow-stack designs see, instruction by instruction, on really rewritten images."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from lab.engine.plan import Execution
from lab.images.image import Image, load_image
from lab.images.workloads import workload_by_name
from lab.job import Job, prepare
from lab.layout import Flavour, Policy, Region, RewriteMap, Where
from lab.machine.machine import Limits
from lab.registry import proposal, unwinder
from lab.rewriting import find_map, rewrite_file
from lab.unwind.api import BOUNDARY, CALL
from tests.support import compile_c, execute, verdicts

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
__attribute__((noinline)) long deep(long n) { return n ? deep(n - 1) + twice(n) : 0; }
int test_main(void) { return deep(3) == 0; }
"""
FLAGS = {
    "pac": ("-mbranch-protection=pac-ret", "-ffixed-x18"),
    "xray": ("-fxray-instrument", "-fxray-instruction-threshold=1"),
}
CASES = [("aarch64", "pac", flavour, policy) for flavour in Flavour for policy in Policy] + [
    (arch, "xray", flavour, policy)
    for arch in ("aarch64", "x86_64")
    for flavour in Flavour
    for policy in Policy
    if (arch, flavour) != ("x86_64", Flavour.REGISTER)
]
IDS = ["-".join((arch, mode, flavour.value, policy.value)) for arch, mode, flavour, policy in CASES]
COUNTED = [case for case in CASES if case[2] is not Flavour.PARALLEL]
COUNTED_IDS = [name for name in IDS if "parallel" not in name]


@pytest.fixture(scope="session")
def rewritten(tmp_path_factory: pytest.TempPathFactory):
    """rewritten(arch, mode, flavour, policy) -> (image, map, execution with scs, scs-lr and oracle)."""
    folder = tmp_path_factory.mktemp("rewritten")

    @cache
    def make(arch: str, mode: str, flavour: Flavour, policy: Policy) -> tuple[Image, RewriteMap, Execution]:
        flags = FLAGS[mode] + (("-ffixed-x18",) if mode == "xray" and arch == "aarch64" else ())
        out: Path = folder / f"{arch}-{mode}-{flavour.value}-{policy.value}.elf"
        rewrite = rewrite_file(compile_c(arch, PROGRAM, *flags).path, out, mode, flavour, policy)
        image = load_image(out)
        assert find_map(image) == rewrite
        return image, rewrite, execute(image, *(unwinder(n) for n in ("scs", "scs-lr", "oracle")), rewrite=rewrite)

    return make


def _where(rewrite: RewriteMap, pc: int) -> Where:
    return next(row.where for row in rewrite.layout.rows if row.start <= pc < row.end)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_oracle_is_exact_in_inserted_code_too(case, rewritten) -> None:
    image, rewrite, execution = rewritten(*case)
    assert execution.outcome.status == 0
    assert verdicts(execution, BOUNDARY, 2) == {"exact": execution.instructions}
    assert verdicts(execution, CALL, 2) == {"exact": execution.calls}
    executed = {t.pc for t in execution.tallies if t.mode == BOUNDARY}
    assert any(rewrite.region(pc) is not Region.ORIGINAL for pc in executed)


@pytest.mark.parametrize("case", COUNTED, ids=COUNTED_IDS)
def test_a_shadow_stack_has_no_entry_for_the_pc_itself_so_before_the_push_scs_misses_the_caller(
    case,
    rewritten,
) -> None:
    """At the first instruction of an instrumented function the return address is not yet on the shadow stack."""
    image, rewrite, execution = rewritten(*case)
    entry = image.symbols["deep"]
    assert _where(rewrite, entry) in {Where.LR, Where.STACK}
    at_entry = [t for t in execution.tallies if t.mode == BOUNDARY and t.pc == entry]
    assert {t.judgement.verdict.value for t in at_entry if t.unwinder == 0} == {"missing"}
    assert {t.judgement.verdict.value for t in at_entry if t.unwinder == 1} == {"exact"}


@pytest.mark.parametrize("case", COUNTED, ids=COUNTED_IDS)
def test_scs_is_wrong_exactly_where_the_layout_says_not_pushed(case, rewritten) -> None:
    """Per instruction inside the sequences: between store and pointer update the push has not happened."""
    image, rewrite, execution = rewritten(*case)
    stub = {pc for piece in rewrite.inserted if not piece.function for pc in range(piece.start, piece.end)}
    for tally in execution.tallies:
        if tally.mode == BOUNDARY and tally.unwinder == 0 and tally.pc not in stub:
            place = _where(rewrite, tally.pc)
            expected = "exact" if place in {Where.SHADOW, Where.OUTERMOST} else "missing"
            assert tally.judgement.verdict.value == expected, (image.locate(tally.pc), place)


@pytest.mark.parametrize("case", COUNTED, ids=COUNTED_IDS)
def test_scs_lr_uses_the_rewriters_layout_and_is_exact_everywhere(case, rewritten) -> None:
    _, _, execution = rewritten(*case)
    assert verdicts(execution, BOUNDARY, 1) == {"exact": execution.instructions}
    assert verdicts(execution, CALL, 1) == {"exact": execution.calls}


@pytest.mark.parametrize("case", [c for c in CASES if c[2] is Flavour.MEMORY], ids=[n for n in IDS if "memory" in n])
def test_the_memory_push_has_a_window_between_store_and_pointer_update(case, rewritten) -> None:
    image, rewrite, _ = rewritten(*case)
    places = [_where(rewrite, piece.start) for piece in rewrite.inserted if piece.function == "deep"]
    inside = {_where(rewrite, pc) for p in rewrite.inserted if p.function == "deep" for pc in range(p.start, p.end)}
    assert places
    assert Where.SHADOW in inside
    assert inside & {Where.LR, Where.STACK}


def test_leaves_never_push_under_pac() -> None:
    job = Job("aarch64", "clang", "leaf", "pac-register-use", (), (), "small", Limits(), 0)
    subject = prepare(job, proposal("pac-register-use"), workload_by_name("leaf"))
    assert subject.rewrite is not None
    reasons = {site.reason for site in subject.rewrite.census.left_out}
    assert any("leaf" in reason for reason in reasons)
    assert subject.rewrite.census.instrumented + len({s.function for s in subject.rewrite.census.left_out}) >= (
        subject.rewrite.census.functions
    )


@pytest.mark.parametrize(
    "case", [c for c in CASES if c[2] is Flavour.PARALLEL], ids=[n for n in IDS if "parallel" in n]
)
def test_a_parallel_shadow_stack_holds_each_live_return_address_at_its_place(case, rewritten) -> None:
    """Readers see stale words between live ones: never missing where pushed, often extra."""
    image, rewrite, execution = rewritten(*case)
    for tally in execution.tallies:
        if tally.mode == BOUNDARY and tally.unwinder == 0 and _where(rewrite, tally.pc) is Where.SHADOW:
            assert tally.judgement.verdict.value in {"exact", "extra"}, image.locate(tally.pc)
    assert rewrite.checks["shadow_balance"] == "passed"
    assert rewrite.checks["shadow_balance_stops"] > 0


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_feature_shadow_pushed_agrees_with_the_layout(case, rewritten) -> None:
    """One watches the pointer (or the slot) move, the other was worked out from the code: they must agree."""
    image, rewrite, execution = rewritten(*case)
    compared = 0
    for tally in execution.tallies:
        if tally.mode == BOUNDARY and tally.unwinder == 0 and tally.dynamic.shadow_pushed is not None:
            place = _where(rewrite, tally.pc)
            if case[2] is Flavour.PARALLEL and not tally.dynamic.shadow_pushed:
                assert place is not Where.SHADOW, image.locate(tally.pc)
            elif case[2] is not Flavour.PARALLEL:  # a parallel slot may still hold the value of an earlier call
                assert tally.dynamic.shadow_pushed is (place is Where.SHADOW), image.locate(tally.pc)
            compared += 1
    assert compared
