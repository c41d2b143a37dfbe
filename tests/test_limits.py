"""docs/limits.md: what it says about the lab's own behaviour is so."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest

import rewriters
from lab.arch import X86_64
from lab.errors import RefusedError
from lab.job import Job, JobResult, run_job
from lab.layout import Flavour, Policy
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.verdict import Doubt
from tests.definitions.watching import CALLER, at, main_ra, watch
from tests.probes import reads_at
from tests.support import ARCH_NAMES, compile_c, execute

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""


@cache
def job(arch: str, workload: str, proposal: str, unwinders: tuple[str, ...]) -> JobResult:
    return run_job(
        Job(arch, "clang", workload, proposal, unwinders, ("boundary",), "small", Limits(200_000, 60), stacks=0)
    )


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_refusal_for_poison_is_undetermined(arch: str) -> None:
    execution = execute(compile_c(arch, PROGRAM), reads_at(4096), modes=("boundary",))
    assert {(t.judgement.reason, t.judgement.doubt) for t in execution.tallies} == {("below_stack", Doubt.UNDETERMINED)}


def test_call_pop_on_x86_keeps_an_activation_until_sp_rises() -> None:
    body = "push %rbx\n call 1f\n1: pop %rax\n nop\n xor %eax, %eax\n pop %rbx\n ret"
    seen = watch("x86_64", f"FUNC test_main\n {body}\nEND test_main\n")
    main = main_ra("x86_64")
    assert at(seen, "test_main+0x7") == ("test_main+0x6", main), "popped, yet still on the books"
    assert at(seen, "test_main+0xb") == (main,), "SP has risen above its place"


def test_the_same_idiom_on_aarch64_ends_at_once() -> None:
    body = "FUNC test_main\n mov x9, x30\n bl 1f\n1: mov x10, x30\n mov w0, #0\n ret x9\nEND test_main\n"
    assert at(watch("aarch64", body), "test_main+0x8") == (main_ra("aarch64"),)


def test_a_retpoline_keeps_its_inner_return_address_live() -> None:
    body = """
FUNC callee
        lea target(%rip), %r11
        call 1f
2:      pause
        jmp 2b
1:      mov %r11, (%rsp)
        ret
END callee
FUNC target
        nop
        ret
END target
"""
    trace = at(watch("x86_64", CALLER["x86_64"] + body), "target+0x1")
    assert trace[0].startswith("callee+"), "nobody returns there"
    assert trace[1:] == ("test_main+0x6", main_ra("x86_64"))


def test_covers_fails_in_out_of_line_code_even_for_the_truth() -> None:
    rows = [r for r in job(X86_64.name, "early", "xray-memory-check", ("oracle",)).verdicts if r.region == "trampoline"]
    assert {r.verdict for r in rows} == {"exact"}
    fails = sum(r.stops for r in rows if not r.covers)
    assert fails > sum(r.stops for r in rows) / 2


def test_without_symbols_covers_is_never_yes() -> None:
    stripped = dataclasses.replace(compile_c("aarch64", PROGRAM), functions=())
    execution = execute(stripped, unwinder("fp"), modes=("boundary",))
    assert {t.judgement.verdict.value for t in execution.tallies} == {"exact", "missing"}
    assert not any(t.judgement.covers for t in execution.tallies)


def test_longjmp_has_a_window_without_shadow_entries_on_x86() -> None:
    rows = job(X86_64.name, "longjmp", "xray-memory-check", ("scs-lr", "oracle")).verdicts
    missing = [r for r in rows if r.unwinder == "scs-lr" and r.verdict == "missing"]
    assert {r.function for r in missing} == {"longjmp"}
    assert len({r.pc for r in missing}) == 8


def test_pac_fill_is_refused_on_bti_images() -> None:
    image = compile_c("aarch64", PROGRAM, "-mbranch-protection=standard", "-ffixed-x18")
    with pytest.raises(RefusedError, match="bti"):
        rewriters.rewrite(image, "pac", Flavour.REGISTER, Policy.USE)


@pytest.mark.parametrize(("mode", "flavour"), [("pac", Flavour.REGISTER), ("xray", Flavour.MEMORY)])
def test_images_without_functions_are_refused(mode: str, flavour: Flavour) -> None:
    image = dataclasses.replace(compile_c("aarch64", PROGRAM), functions=())
    with pytest.raises(RefusedError, match="no functions"):
        rewriters.rewrite(image, mode, flavour, Policy.USE)
