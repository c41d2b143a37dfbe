"""definitions: Truth.  One test a sentence, on programs whose every instruction is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.engine.reference import Plan, ReferenceEngine
from lab.errors import InputError
from lab.images.image import Image
from lab.layout import Census, Flavour, InsertedRange, Policy, Region, RewriteMap, ShadowLayout
from lab.registry import unwinder
from lab.truth import TruthStack
from lab.unwind.api import Regs
from tests.support import ARCH_NAMES, assemble, compile_c, execute, verdicts

Trace = tuple[str, ...]


class Watch(ReferenceEngine):
    """The reference engine, noting every boundary stop as (location, true return addresses as locations)."""

    def __init__(self, image: Image, rewrite: RewriteMap | None = None) -> None:
        super().__init__(image, rewrite, Plan((unwinder("oracle"),), ("boundary", "call")))
        self.seen: list[tuple[str, Trace]] = []

    def _boundary_stop(self, regs: Regs) -> None:
        locate = self.image.locate
        self.seen.append((locate(regs.pc), tuple(locate(ra) for ra in self.truth.trace())))
        super()._boundary_stop(regs)


def watch(arch: str, body: str, rewrite: RewriteMap | None = None) -> list[tuple[str, Trace]]:
    engine = Watch(assemble(arch, body), rewrite)
    execution = engine.run()
    assert execution.outcome.status == 0, execution.outcome
    return engine.seen


def at(seen: list[tuple[str, Trace]], place: str) -> Trace:
    """The true trace at the one time *place* was about to execute."""
    (trace,) = [trace for where, trace in seen if where == place]
    return trace


def main_ra(arch: str) -> str:
    """The return address of the call to test_main."""
    image = assemble(arch, "FUNC test_main\n ret\nEND test_main\n")
    (call,) = [trace for where, trace in _quick(image) if where == "test_main+0x0"]
    return call[0]


def _quick(image: Image) -> list[tuple[str, Trace]]:
    engine = Watch(image)
    engine.run()
    return engine.seen


CALLER = {
    "aarch64": (
        "FUNC test_main\n stp x29, x30, [sp, #-16]!\n bl callee\n"
        " mov w0, #0\n ldp x29, x30, [sp], #16\n ret\nEND test_main\n"
    ),
    "x86_64": "FUNC test_main\n push %rbp\n call callee\n xor %eax, %eax\n pop %rbp\n ret\nEND test_main\n",
}
RA = {"aarch64": "test_main+0x8", "x86_64": "test_main+0x6"}
CALL = {"aarch64": "test_main+0x4", "x86_64": "test_main+0x1"}


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


def test_it_does_not_end_when_a_ret_retires() -> None:
    """return_to_handler: the callee's ret goes to a trampoline, which only then branches to the caller."""
    body = """
FUNC callee
        adr x9, handler
        mov x10, x30
        mov x30, x9
        ret
END callee
FUNC handler
        nop
        mov x30, x10
        ret
END handler
"""
    seen = watch("aarch64", CALLER["aarch64"] + body)
    assert at(seen, "handler+0x0") == (RA["aarch64"], main_ra("aarch64"))
    assert at(seen, "handler+0x8") == (RA["aarch64"], main_ra("aarch64"))
    assert at(seen, RA["aarch64"]) == (main_ra("aarch64"),)


def test_return_to_handler_and_kretprobe_trampolines_on_x86() -> None:
    body = """
FUNC callee
        mov (%rsp), %r10
        lea handler(%rip), %r11
        mov %r11, (%rsp)
        ret
END callee
FUNC handler
        push %r10
        ret
END handler
"""
    seen = watch("x86_64", CALLER["x86_64"] + body)
    assert at(seen, "handler+0x0") == (RA["x86_64"], main_ra("x86_64"))
    assert at(seen, RA["x86_64"]) == (main_ra("x86_64"),)


def test_pop_jmp_comes_out_right() -> None:
    seen = watch("x86_64", CALLER["x86_64"] + "FUNC callee\n pop %r10\n nop\n jmp *%r10\nEND callee\n")
    assert at(seen, "callee+0x2")[0] == RA["x86_64"], "between pop and jmp the return address is live"
    assert at(seen, RA["x86_64"]) == (main_ra("x86_64"),)


def test_ret_through_another_register_comes_out_right() -> None:
    seen = watch("aarch64", CALLER["aarch64"] + "FUNC callee\n mov x15, x30\n mov x30, #0\n ret x15\nEND callee\n")
    assert at(seen, "callee+0x8")[0] == RA["aarch64"]
    assert at(seen, RA["aarch64"]) == (main_ra("aarch64"),)


LONGJMP = {
    "aarch64": """
FUNC test_main
        stp x29, x30, [sp, #-32]!
        bl save
        cbnz w0, 1f
        bl middle
1:      mov w0, #0
        ldp x29, x30, [sp], #32
        ret
END test_main
FUNC save
        mov x20, sp
        mov x21, x30
        mov w0, #0
        ret
END save
FUNC middle
        stp x29, x30, [sp, #-16]!
        bl jump
        brk #0
END middle
FUNC jump
        mov w0, #1
        mov sp, x20
        br x21
END jump
""",
    "x86_64": """
FUNC test_main
        push %rbp
        call save
        test %eax, %eax
        jne 1f
        call middle
1:      xor %eax, %eax
        pop %rbp
        ret
END test_main
FUNC save
        lea 8(%rsp), %rbx
        mov (%rsp), %r12
        xor %eax, %eax
        ret
END save
FUNC middle
        push %rbp
        call jump
        ud2
END middle
FUNC jump
        mov $1, %eax
        mov %rbx, %rsp
        jmp *%r12
END jump
""",
}
SECOND = {"aarch64": ("test_main+0x10", "jump+0x0"), "x86_64": ("test_main+0xf", "jump+0x0")}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_longjmp_comes_out_right_although_sp_only_returns_to_where_it_was_at_the_call(arch: str) -> None:
    seen = watch(arch, LONGJMP[arch])
    after, inside = SECOND[arch]
    assert len(at(seen, inside)) == 3
    assert at(seen, after) == (main_ra(arch),), "middle was jumped out of: it is not live in its caller"


THROW = {
    "aarch64": CALLER["aarch64"].replace("mov w0, #0", "brk #0\n mov w0, #0")
    + "FUNC callee\n stp x29, x30, [sp, #-16]!\n ldr x9, [sp, #8]\n add sp, sp, #16\n"
    + " add x9, x9, #4\n br x9\nEND callee\n",
    "x86_64": CALLER["x86_64"].replace("xor %eax", "ud2\n xor %eax")
    + "FUNC callee\n pop %r10\n add $2, %r10\n jmp *%r10\nEND callee\n",
}
PAD = {"aarch64": "test_main+0xc", "x86_64": "test_main+0x8"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_throw_comes_out_right_at_its_landing_pad(arch: str) -> None:
    assert at(watch(arch, THROW[arch]), PAD[arch]) == (main_ra(arch),)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_recursion_and_jumps_inside_the_callee_are_no_landing(arch: str) -> None:
    body = {
        "aarch64": """
FUNC test_main
        b 2f
1:      ret
2:      cmp w19, #3
        b.eq 1b
        add w19, w19, #1
        stp x29, x30, [sp, #-16]!
        bl test_main
        ldp x29, x30, [sp], #16
        mov w0, #0
        b 1b
END test_main
""",
        "x86_64": """
FUNC test_main
        jmp 2f
1:      ret
2:      xor %eax, %eax
        cmp $3, %ebx
        je 1b
        inc %ebx
        call test_main
        jmp 1b
END test_main
""",
    }[arch]
    depths = [len(trace) for where, trace in watch(arch, body) if where == "test_main+0x0"]
    assert depths == [1, 2, 3, 4]


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
    layout = ShadowLayout(Flavour.PARALLEL, Policy.RECORD, None, None, 1 << 24, 0, 0, "environment", ())
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
