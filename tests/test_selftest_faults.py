"""A self-test that cannot fail is worth nothing: each is given a fault of the kind it is for."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import lab.machine.machine as machine_module
from lab.engine.native import crosscheck, engine, tables
from lab.engine.native.classify import STORE, Classified, classify
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Execution
from lab.machine.loading import STACK_SIZE, STACK_TOP
from lab.machine.machine import Machine
from lab.machine.registers import RegisterBlock
from lab.registry import all_unwinders
from lab.selftest import counts as counts_module
from lab.selftest import registers, suite
from lab.selftest.cases import Case, Form
from lab.selftest.suite import CHECKS, Done, Task, perform
from lab.unwind.api import BLOCKED
from tests.support import ARCH_NAMES

both = pytest.mark.parametrize("arch", ARCH_NAMES)


def problems(check: str, arch: str, workload: str = "longjmp") -> tuple[str, ...]:
    """What one check says of one small image."""
    return perform(Task(check, case_for(check, arch, workload))).part.problems


def case_for(check: str, arch: str, workload: str = "longjmp") -> Case:
    """The cheapest case there is for *check*."""
    return Case(arch, workload, form=Form.BRIEF if check == "kernel" else Form.PLAIN)


@both
@pytest.mark.parametrize("check", CHECKS)
def test_without_a_fault_none_is_found(check: str, arch: str) -> None:
    done = perform(Task(check, case_for(check, arch)))
    assert done.part.problems == ()
    assert all(done.part.counts.values())


# -- stores -----------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("damage", [lambda row: row + (8 << 32), lambda row: row - (1 << 24)], ids=["place", "size"])
def test_a_wrong_row_is_found(arch: str, damage: Callable[[int], int], monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(of: Any, code: bytes, pc: int) -> Classified:
        found = classify(of, code, pc)
        return found._replace(row=damage(found.row) & (1 << 64) - 1) if found.flags & STORE else found

    monkeypatch.setattr(crosscheck, "classify", damaged)
    assert "predicted" in problems("stores", arch)[0]


def test_a_store_that_was_not_seen_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosscheck, "classify", lambda of, code, pc: classify(of, code, pc)._replace(flags=0))
    found = problems("stores", "aarch64")
    assert "predicted no store" in found[0]
    assert any("more like these" in line for line in found), "a count, not a thousand lines"
    assert found[-1].endswith("not one store was compared; this is a fault of the lab")


# -- registers --------------------------------------------------------------------------------------------


def wrong_blocks(monkeypatch: pytest.MonkeyPatch, change: Callable[[RegisterBlock], RegisterBlock]) -> None:
    real = Machine.register_block
    monkeypatch.setattr(Machine, "register_block", lambda machine: change(real(machine)))


@both
@pytest.mark.parametrize("round_trips", [True, False])
def test_a_block_that_is_not_the_registers_is_found(
    arch: str, round_trips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy has the right values and does not follow.  Each half of the check finds that alone."""
    kept = []

    def copied(block: RegisterBlock) -> RegisterBlock:
        kept.append(ctypes.create_string_buffer(ctypes.string_at(block.address, 8 * len(block.order))))
        return replace(block, address=ctypes.addressof(kept[-1]))

    wrong_blocks(monkeypatch, copied)
    if round_trips:
        assert "was set to" in problems("registers", arch)[0]
    else:
        monkeypatch.setattr(registers, "_round_trip", lambda machine, block: [])
        assert "by pointer" in problems("registers", arch)[0]


@both
def test_a_wrong_order_is_found(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_blocks(monkeypatch, lambda b: replace(b, order=(b.order[1], b.order[0], *b.order[2:])))
    assert problems("registers", arch)


@both
def test_the_copy_made_by_the_api_passes_too(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNWINDLAB_REGISTERS", "batch")
    done = perform(Task("registers", Case(arch, "longjmp")))
    assert (done.part.problems, done.part.notes) == ((), ("by batch",))


# -- memory -----------------------------------------------------------------------------------------------


@both
def test_memory_that_is_not_shared_is_found(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest's stack is mapped as a copy: the host sees no store of the guest, the guest none of the host."""
    real = machine_module.new_cpu

    def planted(of: Any) -> Any:
        cpu = real(of)
        shared = cpu.mem_map_ptr

        def mapped(start: int, size: int, perms: int, address: int) -> None:
            if start != STACK_TOP - STACK_SIZE:
                shared(start, size, perms, address)
                return
            cpu.mem_map(start, size, perms)
            cpu.mem_write(start, ctypes.string_at(address, size))

        cpu.mem_map_ptr = mapped
        return cpu

    monkeypatch.setattr(machine_module, "new_cpu", planted)
    found = problems("memory", arch)
    assert any("where the host reads" in line for line in found)
    assert any("the guest read 0x0" in line for line in found)


# -- engines ----------------------------------------------------------------------------------------------


def native_says(monkeypatch: pytest.MonkeyPatch, change: Callable[[Execution, bool], Execution]) -> None:
    """What the native engine gives of several unwinders and both modes is *change*(that, whether with memo)."""
    real = NativeEngine.run

    def changed(self: NativeEngine) -> Execution:
        whole = len(self.plan.unwinders) > 1 and len(self.plan.modes) > 1
        return change(real(self), self.plan.memo) if whole else real(self)

    monkeypatch.setattr(NativeEngine, "run", changed)


@both
def test_stores_that_are_not_noticed_leave_a_stale_memo(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault the memo is most likely to have; the engine's own audit of a stop may say it first."""
    monkeypatch.setattr(tables, "classify", lambda of, code, pc: _without_store(classify(of, code, pc)))
    found = problems("engines", arch, "smash")
    assert found
    assert any("native" in line and "reference" in line for line in found)


def _without_store(found: Classified) -> Classified:
    return found._replace(flags=found.flags & ~STORE)


@both
@pytest.mark.parametrize("memo", [True, False])
def test_one_stop_that_is_judged_otherwise_is_found(arch: str, memo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums stay as they are: only the comparison per pc can see it."""

    def change(execution: Execution, with_memo: bool) -> Execution:
        tallies = list(execution.tallies)
        at = next(i for i, t in enumerate(tallies) if t.mode == 0 and t.unwinder == 0 and not t.judgement.covers)
        tallies[at] = replace(tallies[at], judgement=tallies[at].judgement._replace(covers=True))
        return replace(execution, tallies=tuple(tallies)) if with_memo is memo else execution

    native_says(monkeypatch, change)
    (line,) = problems("engines", arch)
    name = "native" if memo else "native without memo"
    assert line.startswith(f"{arch} longjmp base: 0x")
    assert f" {all_unwinders()[0].name} boundary: " in line
    assert f": {name} " in line
    assert "covers" in line
    assert ", reference " in line


@both
def test_other_features_stacks_and_totals_are_found(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(execution: Execution, with_memo: bool) -> Execution:
        first, *stacks = execution.stacks
        tallies = [replace(t, dynamic=t.dynamic._replace(sp_delta=-1)) if t.mode else t for t in execution.tallies]
        if with_memo:
            return replace(execution, stacks=(replace(first, reported=(1, 2)), *stacks), calls=execution.calls + 1)
        return replace(execution, tallies=tuple(tallies), instructions=0)

    native_says(monkeypatch, change)
    found = problems("engines", arch)
    assert any("kept stack" in line and "0x1 <- 0x2" in line for line in found)
    assert any("native has calls" in line for line in found)
    assert any("native without memo has instructions 0," in line for line in found)
    assert any("sp_delta=-1" in line and " call: " in line for line in found)


@both
@pytest.mark.parametrize("what", ["fp", "boundary", "call"])
def test_what_is_wrong_only_where_a_part_runs_alone_is_found(
    arch: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = NativeEngine.run

    def changed(self: NativeEngine) -> Execution:
        execution = real(self)
        alone = what in (*(u.name for u in self.plan.unwinders), *self.plan.modes)
        if alone and 1 in (len(self.plan.unwinders), len(self.plan.modes)):
            first, *others = execution.tallies
            dynamic = first.dynamic._replace(record_complete=None, sp_delta=77)
            return replace(execution, tallies=(replace(first, dynamic=dynamic), *others))
        return execution

    monkeypatch.setattr(NativeEngine, "run", changed)
    found = problems("engines", arch)
    assert any(f": native with {what} alone" in line and "sp_delta=77" in line for line in found)


# -- counts -----------------------------------------------------------------------------------------------


@both
def test_stops_at_the_wrong_pc_are_found(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.split

    def moved(counts: Any) -> Any:
        first, second, *rest = real(counts)
        return (replace(first, stops=first.stops + 1), replace(second, stops=second.stops - 1), *rest)

    monkeypatch.setattr(engine, "split", moved)
    (line,) = problems("counts", arch)
    assert "fp boundary: native counts" in line


@both
def test_a_wrong_total_is_found(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    native_says(monkeypatch, lambda e, _: replace(e, instructions=e.instructions + 1))
    (line,) = problems("counts", arch)
    assert "a plain counter" in line


@both
def test_a_cost_that_is_counted_otherwise_is_found(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = counts_module.count
    monkeypatch.setattr(counts_module, "count", lambda *given: replace(real(*given), loads=7))
    (line,) = problems("counts", arch)
    assert "the native counter has loads 7, a plain one " in line


# -- kernel -----------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("memo", [True, False])
def test_what_is_wrong_at_stops_of_the_kernel_is_found(arch: str, memo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One blocked stop is judged otherwise; one exception and one switch are not counted."""

    def change(execution: Execution, with_memo: bool) -> Execution:
        if with_memo is not memo:
            return execution
        tallies = list(execution.tallies)
        at = next(i for i, t in enumerate(tallies) if t.mode == BLOCKED)
        tallies[at] = replace(tallies[at], judgement=tallies[at].judgement._replace(reason="planted"))
        taken, switches = execution.injections - 1, execution.switches + 1
        return replace(execution, tallies=tuple(tallies), injections=taken, switches=switches)

    native_says(monkeypatch, change)
    found = problems("kernel", arch)
    name = "native" if memo else "native without memo"
    assert all(line.startswith(f"{arch} longjmp base: ") and f"{name} has" in line for line in found[:2])
    assert ["exceptions" in found[0], "switches" in found[1]] == [True, True]
    assert " blocked: " in found[2] and len(found) == 3


# -- any --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_that_fails_itself_has_not_passed(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise IndexError("planted\nfault")

    monkeypatch.setitem(suite.CHECKS, check, broken)
    done = perform(Task(check, case_for(check, "x86_64")))
    assert done.part.problems == (f"x86_64 longjmp base: {check}: IndexError: planted fault",)
    (result,) = suite.results([Done(done.task, done.part, 0.0)])
    assert result.status.value == "failed"


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "stores"])
def test_a_wrong_program_result_is_a_problem(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "wrong_result", lambda *_: ["planted"])
    assert any("planted" in line for line in problems(check, "aarch64"))
