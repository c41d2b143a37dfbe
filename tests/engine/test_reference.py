"""The reference engine: counts that sum, features, kept stacks, and errors that are errors."""

from __future__ import annotations

import pytest

from lab.cost.counts import count
from lab.engine.plan import Plan
from lab.engine.reference import ReferenceEngine, run_reference
from lab.errors import EngineError
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY, CALL, Regs
from tests import probes
from tests.support import ARCH_NAMES, assemble, compile_c, execute

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long frame(long x) { volatile long y = leaf(x); return y + leaf(x + 1); }
int test_main(void) { return frame(1) != 11; }
"""


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_engine_and_the_plain_counter_agree(arch: str) -> None:
    image = compile_c(arch, PROGRAM)
    execution, counts = execute(image, unwinder("fp")), count(image, None, Limits())
    assert (execution.instructions, execution.calls) == (counts.instructions, counts.calls)
    assert counts.loads >= counts.calls, "each return loads something"
    assert execution.outcome.result == counts.outcome.result


COUNTED = {
    "aarch64": ("ldp x0, x1, [sp]; stp x0, x1, [sp, #-16]; ldr x0, [sp]; add x0, x0, #1; mov w0, #0; ret", 2, 1),
    "x86_64": ("push (%rsp); pop %rax; mov $4, %ecx; lea -64(%rsp), %rdi; rep stosb; xor %eax, %eax; ret", 2, 2),
}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_an_instruction_is_one_load_or_store_however_much_it_moves(arch: str) -> None:
    body, loads, stores = COUNTED[arch]
    empty = {"aarch64": "mov w0, #0; ret", "x86_64": "xor %eax, %eax; ret"}[arch]
    full, base = (
        count(assemble(arch, f"FUNC test_main\n {text.replace(';', chr(10))}\nEND test_main\n"), None, Limits())
        for text in (body, empty)
    )
    assert (full.loads - base.loads, full.stores - base.stores) == (loads, stores)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_counts_that_do_not_sum_are_an_error_of_the_run(arch: str) -> None:
    class Forgets(ReferenceEngine):
        def _boundary_stop(self, regs: Regs) -> None:
            if regs.pc % 8:
                super()._boundary_stop(regs)

    engine = Forgets(compile_c(arch, PROGRAM), None, Plan((unwinder("oracle"),), ("boundary",)))
    with pytest.raises(EngineError, match="fault of the lab"):
        engine.run()


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(EngineError, match="unknown stop mode"):
        run_reference(compile_c("aarch64", PROGRAM), None, Plan((), ("nonsense",)))


def test_a_decoder_that_disagrees_with_the_processor_is_an_error() -> None:
    class Misreads(ReferenceEngine):
        def _confirm(self, event: object, regs: Regs) -> None:
            super()._confirm(type(self.truth.pending)(0x1234, 0x5678), regs)  # type: ignore[misc, call-arg]

    with pytest.raises(EngineError, match="disagree"):
        Misreads(compile_c("aarch64", PROGRAM), None, Plan((), ("boundary",))).run()


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_first_k_differing_stacks_are_kept_with_registers(arch: str) -> None:
    image = compile_c(arch, PROGRAM)
    plan = Plan((probes.EMPTY,), ("boundary", "call"), Limits(), stacks=3)
    stacks = run_reference(image, None, plan).stacks
    for mode in (BOUNDARY, CALL):
        kept = [s for s in stacks if s.mode == mode]
        assert len({s.pc for s in kept}) == len(kept) == min(3, len(kept))
        assert kept == sorted(kept, key=lambda s: s.stop)
    first = stacks[0]
    assert first.truth and not first.reported
    assert set(image.arch.gprs) <= set(first.registers)
    assert first.registers["pc"] == first.pc


def test_exact_stacks_are_not_kept() -> None:
    assert execute(compile_c("aarch64", PROGRAM), unwinder("oracle")).stacks == ()


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_two_executions_give_the_same_tallies(arch: str) -> None:
    image = compile_c(arch, PROGRAM)
    first, second = (execute(image, unwinder("fp"), probes.SKIPS_SECOND) for _ in range(2))
    assert first.tallies == second.tallies
    assert first.stacks == second.stacks


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_features_of_a_framed_function(arch: str) -> None:
    """frame(): before its prologue is done the record is not complete; in its body it is; SP delta follows."""
    image = compile_c(arch, PROGRAM)
    function = next(f for f in image.functions if f.name == "frame")
    engine = ReferenceEngine(image, None, Plan((unwinder("fp"),), ("boundary",)))
    tallies = [t for t in engine.run().tallies if function.start <= t.pc < function.end]
    static = {t.pc: engine.features.static(t.pc) for t in tallies}
    dynamic = {t.pc: t.dynamic for t in tallies}
    first, last = function.start, max(static)
    assert static[first].offset_class == "prologue"
    assert dynamic[first].sp_delta == 0
    assert dynamic[first].record_complete is False
    assert static[last].insn_class == "return"
    assert static[last].offset_class == "epilogue"
    assert dynamic[last].record_complete is False
    body = [pc for pc, s in static.items() if s.offset_class == "body"]
    assert body
    assert all(dynamic[pc].record_complete and (dynamic[pc].sp_delta or 0) > 0 for pc in body)
    assert {s.row_kind for s in static.values()} <= {"sp", "fp"}
    assert all(dynamic[pc].fp_matches_row is True for pc in body if static[pc].row_kind == "fp")
    if arch == "aarch64":
        assert static[first].lr_live is True
        assert static[last].lr_live is True
        assert not any(static[pc].lr_live for pc in body)
    assert {d.shadow_pushed for d in dynamic.values()} == {None}


def test_metadata_that_cannot_be_read_is_a_fact_not_an_error() -> None:
    body = (
        "FUNC test_main\n mov w0, #0\n ret\nEND test_main\n"
        '.section .eh_frame,"a"\n .4byte 20\n .4byte 0\n .byte 77\n .fill 15, 1, 0xff\n'
    )
    engine = ReferenceEngine(assemble("aarch64", body), None, Plan((unwinder("fp"),), ("boundary",)))
    execution = engine.run()
    assert execution.outcome.status == 0
    assert engine.features.cfi.problem
    assert {engine.features.static(t.pc).row_kind for t in execution.tallies} == {"none"}
