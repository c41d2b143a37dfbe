"""definitions: Stops.  What is stopped at, and what an unwinder may see there."""

from __future__ import annotations

import pytest

from lab.arch import arch_by_name
from lab.engine.plan import Plan
from lab.engine.reference import ReferenceEngine
from lab.images.build import ARCH_FLAGS
from lab.images.image import Image
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY, CALL, Unwinder
from tests.probes import EMPTY, reads_at, reports
from tests.support import ARCH_NAMES, assemble, compile_c, execute, verdicts

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""


def kept(image: Image, probe: Unwinder, mode: int) -> list[tuple[int, tuple[int, ...], dict[str, int], str]]:
    """(pc, what *probe* reported, the registers, the reason) of the stops of *mode* at which it was not exact."""
    execution = execute(image, probe)
    found = [k for k in execution.stacks if k.mode == mode]
    assert found, "the probe must differ from the truth somewhere"
    return [(k.pc, k.reported, k.registers, k.judgement.reason) for k in found]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_boundary_stops_before_every_executed_instruction(arch: str) -> None:
    execution = execute(compile_c(arch, PROGRAM), unwinder("oracle"))
    assert sum(verdicts(execution, BOUNDARY).values()) == execution.instructions > 10


def test_a_repeated_string_instruction_is_one_stop() -> None:
    body = "FUNC test_main\n lea -64(%rsp), %rdi\n mov $8, %ecx\n xor %eax, %eax\n rep stosb\n ret\nEND test_main\n"
    execution = execute(assemble("x86_64", body), unwinder("oracle"))
    assert execution.outcome.status == 0
    assert execution.instructions == 6 + 5 + 3


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_pt_regs_lie_directly_below_e_rebuilt_from_the_registers(arch: str) -> None:
    facts = arch_by_name(arch)
    names = ["pc", facts.fp, facts.sp, facts.gprs[0]]
    for name in names:
        image = compile_c(arch, PROGRAM)
        distance = facts.pt_regs.size - facts.pt_regs.registers[name]
        seen = 0
        for _pc, reported, registers, _ in kept(image, reads_at(distance), BOUNDARY):
            if registers[facts.sp] % facts.exception_align == 0:
                assert reported == (registers[name],), name
                seen += 1
        assert seen


def test_the_metadata_record_of_pt_regs_says_pt_regs() -> None:
    facts = arch_by_name("aarch64").pt_regs
    assert facts.metadata is not None
    for offset, value in ((0, 0), (8, 0), (16, 2)):
        for _, reported, _, _ in kept(
            compile_c("aarch64", PROGRAM), reads_at(facts.size - facts.metadata - offset), BOUNDARY
        ):
            assert reported == (value,)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_reading_poison_is_the_refusal_below_stack(arch: str) -> None:
    size = arch_by_name(arch).pt_regs.size
    for distance in (size + 16, 4096, 65536):
        reasons = {reason for _, _, _, reason in kept(compile_c(arch, PROGRAM), reads_at(distance), BOUNDARY)}
        assert reasons == {"below_stack"}, distance


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_read_that_straddles_the_frame_and_poison_is_refused_too(arch: str) -> None:
    facts = arch_by_name(arch)
    for _, _, registers, reason in kept(compile_c(arch, PROGRAM), reads_at(facts.pt_regs.size + 4), BOUNDARY):
        if registers[facts.sp] % facts.exception_align == 0:
            assert reason == "below_stack"


def test_e_is_sp_aligned_down_to_16_on_x86_and_sp_itself_on_aarch64() -> None:
    """At an SP that is 8 mod 16, x86-64's frame ends at SP - 8: the word in the gap is still the guest's."""
    body = "FUNC test_main\n movq $0x1234, -8(%rsp)\n nop\n nop\n xor %eax, %eax\n ret\nEND test_main\n"
    image = assemble("x86_64", body)
    main = image.symbols["test_main"]
    found = {pc: reported for pc, reported, _, _ in kept(image, reads_at(8), BOUNDARY)}
    assert found[main + 9] == (0x1234,), "E = SP & ~15 = SP - 8 at a function's entry"
    ss = {pc: reported for pc, reported, _, _ in kept(image, reads_at(16), BOUNDARY)}
    assert ss[main + 9] == (0,), "the last word of pt_regs (ss)"
    body = "FUNC test_main\n mov x9, #0x1234\n str x9, [sp, #-8]\n nop\n mov w0, #0\n ret\nEND test_main\n"
    image = assemble("aarch64", body)
    found = {pc: reported for pc, reported, _, _ in kept(image, reads_at(8), BOUNDARY)}
    assert found[image.symbols["test_main"] + 8] == (0,), "the last word of pt_regs lies directly below SP"


def test_the_corpus_has_no_red_zone() -> None:
    assert "-mno-red-zone" in ARCH_FLAGS["x86_64"]


def test_foreign_images_with_a_red_zone_run_under_the_model_signal() -> None:
    body = "FUNC test_main\n movq $0x1234, -16(%rsp)\n nop\n xor %eax, %eax\n ret\nEND test_main\n"
    image = assemble("x86_64", body)
    probe = reads_at(16)
    seen: dict[str, tuple[int, ...]] = {}
    for model in ("kernel", "signal"):
        plan = Plan((probe,), ("boundary",), Limits(1000, 10), 1000, model)
        stacks = ReferenceEngine(image, None, plan).run().stacks
        (seen[model],) = [k.reported for k in stacks if k.pc == image.symbols["test_main"] + 9]
    assert seen == {"kernel": (0,), "signal": (0x1234,)}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_call_stops_are_directly_after_each_call_retires(arch: str) -> None:
    execution = execute(compile_c(arch, PROGRAM), unwinder("oracle"))
    assert sum(verdicts(execution, CALL).values()) == execution.calls == 4


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_at_a_call_stop_pc_is_ra_and_fp_and_sp_are_as_at_the_call(arch: str) -> None:
    facts = arch_by_name(arch)
    caller = {
        "aarch64": "FUNC test_main\n stp x29, x30, [sp, #-16]!\n mov x29, sp\n bl callee\n mov w0, #0\n"
        " ldp x29, x30, [sp], #16\n ret\nEND test_main\nFUNC callee\n ret\nEND callee\n",
        "x86_64": "FUNC test_main\n push %rbp\n mov %rsp, %rbp\n call callee\n xor %eax, %eax\n"
        " pop %rbp\n ret\nEND test_main\nFUNC callee\n ret\nEND callee\n",
    }[arch]
    image = assemble(arch, caller)
    ra = image.symbols["test_main"] + {"aarch64": 12, "x86_64": 9}[arch]
    values = {}
    for index, name in enumerate(("pc", "sp", "fp")):
        (values[name],) = [reported for pc, reported, _, _ in kept(image, reports(index), CALL) if pc == ra]
    assert values["pc"] == (ra,)
    assert values["sp"] == values["fp"], "SP as at the call: on x86-64 above the return address it pushed"
    (found,) = [reported for pc, reported, _, _ in kept(image, reads_at(8), CALL) if pc == ra]
    if facts.call_pushes:
        assert found == (ra,), "what the call itself pushed lies below SP"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_at_a_call_stop_memory_is_as_it_is_without_overlay(arch: str) -> None:
    reasons = {reason for _, _, _, reason in kept(compile_c(arch, PROGRAM), reads_at(4096), CALL)}
    assert reasons == {""}


def test_at_a_call_stop_lr_is_dead() -> None:
    """The return address of the function that made the call is not in LR: that holds the call's own."""
    image = compile_c("aarch64", PROGRAM)
    for pc, reported, _, _ in kept(image, reports(3), CALL):
        assert reported == (pc,)


def test_the_callee_has_pushed_nothing_at_a_call_stop() -> None:
    execution = execute(compile_c("x86_64", PROGRAM), EMPTY)
    truths = {k.truth for k in execution.stacks if k.mode == CALL}
    assert all(truth for truth in truths), "the caller's own return address is live"
