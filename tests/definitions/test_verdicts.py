"""definitions: Verdicts, covers and counts.  Planted faults must each be caught, and as what they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.covers import Coverage
from lab.images.image import Image
from lab.registry import unwinder
from lab.unwind import watchdog
from lab.unwind.api import BOUNDARY, CALL, Unwinder
from lab.unwind.host import Ending, Trace
from lab.verdict import Doubt, Verdict, compare, judge
from tests import probes
from tests.support import ARCH_NAMES, assemble, compile_c, execute, verdicts

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
__attribute__((noinline)) long more(long x) { return twice(x) + 1; }
int test_main(void) { return more(1) != 12; }
"""


def judged(probe: Unwinder, mode: int = CALL, arch: str = "aarch64") -> dict[str, int]:
    return verdicts(execute(compile_c(arch, PROGRAM), probe), mode)


def judged_with_callers(probe: Unwinder) -> set[str]:
    """The verdicts at calls with at least one live return address: all but the one call that _start makes."""
    execution = execute(compile_c("aarch64", PROGRAM), probe)
    start = next(f for f in compile_c("aarch64", PROGRAM).functions if f.name == "_start")
    return {
        t.judgement.verdict.value
        for t in execution.tallies
        if t.mode == CALL and not start.start <= t.pc - 1 < start.end
    }


@pytest.mark.parametrize(
    "probe",
    [
        probes.RAISES,
        probes.RAISES_IN_START,
        probes.LOOPS,
        probes.OUTSIDE,
        probes.NOT_A_TUPLE,
        probes.BAD_STATUS,
        probes.BAD_ADDRESS,
        probes.BAD_CURSOR,
        probes.EXITS,
        probes.ARRAY_STATUS,
        probes.HUGE_STATUS,
        probes.NUMPY_ADDRESS,
        probes.GENERATES,
        probes.ASSIGNS,
    ],
    ids=lambda probe: probe.name,
)
def test_crash_is_an_unwinder_that_failed(probe: Unwinder) -> None:
    """It raised, left its contract, or ran out of budget without saying so."""
    assert set(judged(probe)) == {"crash"}
    assert set(judged(probe, BOUNDARY)) == {"crash"}


def test_no_unwinder_changes_what_the_next_one_sees() -> None:
    image = compile_c("aarch64", PROGRAM)
    alone, beside = execute(image, unwinder("fp")), execute(image, probes.ASSIGNS, unwinder("fp"))
    for mode in (BOUNDARY, CALL):
        assert verdicts(alone, mode, 0) == verdicts(beside, mode, 1)
        assert set(verdicts(beside, mode, 0)) == {"crash"}


def test_a_walk_that_refuses_for_ever_ends_and_is_undetermined() -> None:
    execution = execute(compile_c("aarch64", PROGRAM), probes.STUBBORN, modes=("call",))
    assert {(t.judgement.verdict.value, t.judgement.doubt.value) for t in execution.tallies} == {
        ("refused", "undetermined")
    }


def test_a_loop_inside_one_step_is_a_crash_too_and_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "TICK", 0.05)
    execution = execute(compile_c("aarch64", PROGRAM), probes.HANGS, unwinder("oracle"))
    assert set(verdicts(execution, CALL, 0)) == {"crash"}
    assert verdicts(execution, CALL, 1) == {"exact": execution.calls}
    (reason,) = {t.judgement.reason for t in execution.tallies if t.unwinder == 0}
    assert reason.startswith("probes.py:")
    assert "did not come back" in reason


def test_a_crash_names_the_line_and_the_cause() -> None:
    execution = execute(compile_c("aarch64", PROGRAM), probes.RAISES)
    reasons = {tally.judgement.reason for tally in execution.tallies}
    assert len(reasons) == 1
    (reason,) = reasons
    assert reason.startswith("probes.py:") and "ZeroDivisionError" in reason and "\n" not in reason


def test_refused_is_saying_unreliable_with_a_reason() -> None:
    execution = execute(compile_c("aarch64", PROGRAM), probes.REFUSES)
    assert {t.judgement.verdict for t in execution.tallies} == {Verdict.REFUSED}
    assert {t.judgement.reason for t in execution.tallies} == {"exception"}


def doubts(probe: Unwinder) -> set[Doubt]:
    execution = execute(compile_c("aarch64", PROGRAM), probe)
    refused = [t for t in execution.tallies if t.judgement.verdict is Verdict.REFUSED]
    return {t.judgement.doubt for t in refused if t.mode == CALL and t.dynamic.sp_delta is not None}


def test_a_refusal_is_needless_if_the_same_walk_without_it_is_exact() -> None:
    assert doubts(probes.REFUSES_NEEDLESSLY) == {Doubt.NEEDLESS}


def test_a_refusal_is_justified_if_the_same_walk_without_it_is_not_exact() -> None:
    assert doubts(probes.REFUSES_JUSTLY) == {Doubt.JUSTIFIED}


def test_a_refusal_is_undetermined_if_the_walk_cannot_go_on() -> None:
    assert doubts(probes.REFUSES) == {Doubt.UNDETERMINED}


def test_ignoring_one_refusal_does_not_ignore_another() -> None:
    other = Trace(Ending.REFUSED, (), "fp_off_stack")
    first = Trace(Ending.REFUSED, (), "exception", resume=(0,))
    judgement = judge(first, (), go_on=lambda: other, covered=lambda reported: True)
    assert judgement.doubt is Doubt.UNDETERMINED


def test_exact_is_r_equal_to_t() -> None:
    assert compare((1, 2, 3), [1, 2, 3]) is Verdict.EXACT
    assert compare((), ()) is Verdict.EXACT
    assert set(judged(unwinder("fp"))) == {"exact"}


def test_extra_is_t_a_subsequence_of_r() -> None:
    assert compare((9, 1, 9, 2, 9), (1, 2)) is Verdict.EXTRA
    assert compare((1, 2), ()) is Verdict.EXTRA
    assert judged_with_callers(probes.DOUBLES) == {"extra"}


def test_a_superset_in_another_order_is_missing() -> None:
    assert compare((2, 1), (1, 2)) is Verdict.MISSING
    assert compare((2, 1, 3), (1, 2)) is Verdict.MISSING


@pytest.mark.parametrize("probe", [probes.OFF_BY_ONE, probes.SKIPS_FIRST, probes.EMPTY], ids=lambda probe: probe.name)
def test_missing_is_anything_else_claimed_as_reliable(probe: Unwinder) -> None:
    assert judged_with_callers(probe) == {"missing"}


def test_a_frame_dropped_only_where_there_are_two_is_seen_only_there() -> None:
    found = judged(probes.SKIPS_SECOND)
    assert set(found) == {"exact", "missing"}
    assert found["exact"] == 2, "the calls made by _start and by test_main have fewer than two live callers"


@pytest.mark.parametrize("order", ["crash", "refused", "end"])
def test_the_first_that_applies_decides(order: str) -> None:
    ending = Ending(order)
    judgement = judge(
        Trace(ending, (1,), "why"), (1,), go_on=lambda: Trace(Ending.END, (1,)), covered=lambda reported: True
    )
    expected = {"crash": Verdict.CRASH, "refused": Verdict.REFUSED, "end": Verdict.EXACT}
    assert judgement.verdict is expected[order]


ADDRESSES = st.lists(st.integers(0, 5), max_size=8)


@given(ADDRESSES, ADDRESSES)
def test_comparing_agrees_with_the_words_of_the_definition(reported: list[int], truth: list[int]) -> None:
    def subsequence(small: list[int], big: list[int]) -> bool:
        if not small:
            return True
        if not big:
            return False
        return subsequence(small[small[0] == big[0] :], big[1:])

    if reported == truth:
        expected = Verdict.EXACT
    else:
        expected = Verdict.EXTRA if subsequence(truth, reported) else Verdict.MISSING
    assert compare(reported, truth) is expected


def test_the_contract_is_that_every_function_the_task_may_return_to_is_listed() -> None:
    """A superset is conservative (extra); one absent caller is false trust (missing), whatever else is listed."""
    assert compare((7, 1, 2, 8), (1, 2)) is Verdict.EXTRA
    assert compare((7, 1, 8), (1, 2)) is Verdict.MISSING


NORETURN = {
    "aarch64": "FUNC test_main\n stp x29, x30, [sp, #-16]!\n mov x29, sp\n bl dies\nEND test_main\n"
    "FUNC other\n ret\nEND other\nFUNC dies\n mov w0, #0\n mov x8, #94\n svc #0\nEND dies\n",
    "x86_64": "FUNC test_main\n push %rbp\n mov %rsp, %rbp\n call dies\nEND test_main\n"
    "FUNC other\n ret\nEND other\nFUNC dies\n xor %edi, %edi\n mov $231, %eax\n syscall\nEND dies\n",
}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_covers_fails_after_a_noreturn_call_at_a_functions_end_although_exact_holds(arch: str) -> None:
    image = assemble(arch, NORETURN[arch])
    execution = execute(image, unwinder("fp"), unwinder("oracle"))
    dies = image.symbols["dies"]
    inside = [t for t in execution.tallies if t.pc >= dies and t.unwinder == 1 and t.mode == BOUNDARY]
    assert inside
    assert {(t.judgement.verdict, t.judgement.covers) for t in inside} == {(Verdict.EXACT, False)}


def coverage(image: Image) -> tuple[Coverage, dict[str, int]]:
    return Coverage(image, None), image.symbols


def test_covers_includes_the_pc_and_maps_the_address_itself_not_ra_minus_1() -> None:
    image = assemble("aarch64", NORETURN["aarch64"])
    cover, symbol = coverage(image)
    end_of_main = symbol["other"]  # the return address of the call to dies
    assert cover.named(symbol["dies"], (end_of_main,)) == {symbol["dies"], symbol["other"]}
    assert cover.live(symbol["dies"], (end_of_main,), after_call=False) == {symbol["dies"], symbol["test_main"]}


def test_nothing_is_covered_in_an_image_without_symbols() -> None:
    """Livepatch could not map an address there: a yes would be a guess."""
    image = replace(assemble("aarch64", NORETURN["aarch64"]), functions=())
    execution = execute(image, unwinder("oracle"))
    assert {t.judgement.verdict for t in execution.tallies} == {Verdict.EXACT}
    assert not any(t.judgement.covers for t in execution.tallies)


def test_covers_needs_every_live_function_once_in_any_order() -> None:
    image = assemble("aarch64", NORETURN["aarch64"])
    cover, symbol = coverage(image)
    a, b = symbol["test_main"] + 4, symbol["other"]
    assert cover.named(symbol["dies"], (a, b)) == cover.named(symbol["dies"], (b, a, b))


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("mode", [BOUNDARY, CALL])
def test_verdicts_sum_to_stops(arch: str, mode: int) -> None:
    execution = execute(compile_c(arch, PROGRAM), unwinder("fp"), probes.SKIPS_SECOND, probes.RAISES)
    stops = execution.instructions if mode == BOUNDARY else execution.calls
    for index in range(3):
        assert sum(verdicts(execution, mode, index).values()) == stops
