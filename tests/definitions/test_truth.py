"""definitions: Truth.  One test a sentence, on programs whose every instruction is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError
from lab.images.image import Image
from lab.layout import Census, Flavour, InsertedRange, Policy, Region, RewriteMap, ShadowLayout
from lab.registry import unwinder
from lab.truth import TruthStack
from tests.definitions.watching import CALL, CALLER, RA, Watch, at, main_ra, watch
from tests.support import ARCH_NAMES, assemble, compile_c, execute, verdicts


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_an_activation_is_pushed_when_a_call_retires(arch: str) -> None:
    seen = watch(arch, CALLER[arch] + "FUNC callee\n ret\nEND callee\n")
    assert at(seen, CALL[arch]) == (main_ra(arch),), "the call itself has not retired yet"
    assert at(seen, "callee+0x0") == (RA[arch], main_ra(arch))


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_it_ends_when_control_arrives_at_ra_with_sp_at_or_above_sp_at_call(arch: str) -> None:
    seen = watch(arch, CALLER[arch] + "FUNC callee\n ret\nEND callee\n")
    assert at(seen, RA[arch]) == (main_ra(arch),)


def test_arriving_at_ra_with_a_lower_sp_does_not_end_it() -> None:
    truth = TruthStack()
    truth.before(0x100, 0x8000)
    truth.call(0x104, 0x8000)
    truth.before(0x200, 0x8000)
    truth.before(0x104, 0x7FF0)  # an inner activation of the same code
    assert truth.trace() == (0x104,)
    truth.before(0x104, 0x8000)
    assert truth.trace() == ()


def test_it_ends_when_sp_rises_above_sp_at_call() -> None:
    truth = TruthStack()
    for pc, sp, ra in ((0x100, 0x8000, 0x104), (0x200, 0x7F00, 0x204)):
        truth.before(pc, sp)
        truth.call(ra, sp)
    truth.before(0x300, 0x7E00)
    assert truth.trace() == (0x204, 0x104)
    truth.before(0x304, 0x7F08)  # above the inner call's SP, below the outer one's
    assert truth.trace() == (0x104,)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_tail_call_makes_no_activation(arch: str) -> None:
    jump = {"aarch64": "b", "x86_64": "jmp"}[arch]
    seen = watch(arch, CALLER[arch] + f"FUNC callee\n {jump} other\nEND callee\nFUNC other\n ret\nEND other\n")
    assert at(seen, "other+0x0") == (RA[arch], main_ra(arch)), "callee will not be returned to"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_one_guest_stack_and_leaving_it_is_an_error_not_a_guess(arch: str) -> None:
    body = {
        "aarch64": "FUNC test_main\n adrp x9, test_main\n mov sp, x9\n nop\n ret\nEND test_main\n",
        "x86_64": "FUNC test_main\n lea test_main(%rip), %rsp\n nop\n ret\nEND test_main\n",
    }[arch]
    with pytest.raises(InputError, match="left the machine's stack"):
        Watch(assemble(arch, body)).run()


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_true_trace_is_innermost_first_without_the_pc(arch: str) -> None:
    nested = {
        "aarch64": "FUNC callee\n stp x29, x30, [sp, #-16]!\n bl last\n ldp x29, x30, [sp], #16\n ret\nEND callee\n",
        "x86_64": "FUNC callee\n push %rbp\n call last\n pop %rbp\n ret\nEND callee\n",
    }[arch]
    seen = watch(arch, CALLER[arch] + nested + "FUNC last\n ret\nEND last\n")
    inner = {"aarch64": "callee+0x8", "x86_64": "callee+0x6"}[arch]
    assert at(seen, "last+0x0") == (inner, RA[arch], main_ra(arch))


def test_a_return_address_is_live_through_entry_and_between_pop_and_ret() -> None:
    seen = watch("x86_64", CALLER["x86_64"] + "FUNC callee\n push %rbx\n nop\n pop %rbx\n ret\nEND callee\n")
    inside = [trace for where, trace in seen if where.startswith("callee")]
    assert inside == [(RA["x86_64"], main_ra("x86_64"))] * 4


def _map(image: Image, start: int, end: int) -> RewriteMap:
    layout = ShadowLayout(Flavour.PARALLEL, "parallel", Policy.RECORD, None, None, 1 << 24, 0, 0, "environment", ())
    pieces = (InsertedRange(start, end, Region.INSERTED, "callee"),)
    return RewriteMap("test", image.arch.name, "", image.sha256, layout, pieces, Census(0, 0, 0, 0, 0, ()), {})


def test_inserted_code_keeps_the_truth_and_its_calls_count_as_calls() -> None:
    body = CALLER["aarch64"] + (
        "FUNC callee\n stp x29, x30, [sp, #-16]!\n bl helper\n ldp x29, x30, [sp], #16\n ret\nEND callee\n"
        "FUNC helper\n ret\nEND helper\n"
    )
    image = assemble("aarch64", body)
    callee = image.symbols["callee"]
    rewrite = _map(image, callee, callee + 12)
    engine = Watch(image, rewrite)
    execution = engine.run()
    assert at(engine.seen, "helper+0x0")[0] == "callee+0x8"
    assert execution.calls == 3
    regions = [engine.features.region(callee + offset) for offset in (0, 8, 12)]
    assert regions == [Region.INSERTED, Region.INSERTED, Region.ORIGINAL], "every stop carries a region"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_oracle_is_exact_everywhere(arch: str) -> None:
    source = """
        __attribute__((noinline)) int f(int n) { return n ? f(n - 1) + n : 0; }
        int test_main(void) { return f(4) - 10; }
    """
    execution = execute(compile_c(arch, source), unwinder("oracle"))
    assert execution.outcome.status == 0
    assert verdicts(execution, 0) == {"exact": execution.instructions}
    assert verdicts(execution, 1) == {"exact": execution.calls}


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6)), max_size=60))
def test_truth_is_a_stack_under_calls_and_returns(events: list[tuple[bool, int]]) -> None:
    """Property: nested calls with growing frames, and returns, behave as a list of return addresses does."""
    truth, expected, sp, code = TruthStack(), [], 0x10000, 0x1000
    truth.before(code, sp)
    for is_call, size in events:
        if is_call:
            code += 0x100
            truth.call(code + 4, sp)
            expected.append((code + 4, sp))
            sp -= 16 * size
            truth.before(code + 0x80, sp)
        elif expected:
            ra, sp = expected.pop()
            truth.before(ra, sp)
        assert truth.trace() == tuple(ra for ra, _ in reversed(expected))
