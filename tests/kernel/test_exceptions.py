"""What an exception leaves in memory is what the architecture's kernel leaves, and is given back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lab.arch import Arch
from lab.machine.exceptions import DEVICE
from tests.kernel.running import Run, kernel_image
from tests.support import ARCH_NAMES

FINAL, PT_REGS = 1, 2
PREEMPTED, IN_EXCEPTION = 1, 2


@dataclass
class Taken:
    """The last interrupt: registers before it, and whether user mode was interrupted."""

    registers: dict[str, int] = field(default_factory=dict)
    user: bool = False
    depth: int = 0
    checked: int = 0


def ranges(run: Run, kind: int) -> list[tuple[int, int]]:
    """[low, high) of the stacks of *kind* (1 task, 2 IRQ, 3 user)."""
    found, at = [], run.symbol("lab_stacks")
    while run.word(at):
        if run.word(at + 32) == kind:
            found.append((run.word(at), run.word(at + 8)))
        at += 48
    return found


def within(address: int, stacks: list[tuple[int, int]]) -> bool:
    return any(low <= address < high for low, high in stacks)


def regs_of(arch: Arch, handler: dict[str, int]) -> int:
    """Where the vector says pt_regs is, as its frame pointer has it."""
    if arch.pt_regs.metadata is not None:
        return handler[arch.fp] - arch.pt_regs.metadata
    assert handler[arch.fp] & 1, "the encoded frame pointer"
    return handler[arch.fp] - 1


def check_regs(run: Run, taken: Taken) -> None:
    """At the call of the C handler: pt_regs, and what announces it."""
    arch, now = run.image.arch, run.machine.registers()
    regs = regs_of(arch, now)
    for name, offset in arch.pt_regs.registers.items():
        assert run.word(regs + offset) == taken.registers[name], name
    assert now[arch.sp] == regs
    if arch.pt_regs.metadata is not None:
        record = [run.word(now[arch.fp] + 8 * i) for i in range(3)]
        assert record == [0, 0, FINAL if taken.user else PT_REGS]
        assert taken.user or regs + arch.pt_regs.size == taken.registers[arch.sp]
    else:
        assert run.word(regs + 136) & 3 == (3 if taken.user else 0), "cs"
        assert taken.user or regs + arch.pt_regs.size == taken.registers[arch.sp] & ~15
    if taken.user:
        task = run.variable("lab_current")
        assert regs == run.word(task + run.word(run.symbol("lab_task_layout") + 40)), "the task's own pt_regs"
    taken.checked += 1


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_pt_regs_has_the_interrupted_registers(arch: str) -> None:
    taken, users = Taken(), []

    def before(run: Run, pc: int) -> None:
        taken.registers, taken.user = run.machine.registers(), run.exceptions.in_user

    def watch(run: Run, pc: int) -> None:
        if "vector_irq" in run.image.locate(pc) and run.machine.insn_at(pc).kind.value == "call":
            users.append(taken.user)
            check_regs(run, taken)

    run = Run(kernel_image(arch, "longjmp"), 7, DEVICE, watch, before, user=True)
    assert run.go().status == 0
    assert taken.checked == run.taken > 100
    assert 0 < sum(users) < len(users), "user mode was interrupted too"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_handler_runs_on_the_irq_stack_and_one_more_interrupt_gets_in(arch: str) -> None:
    depths: list[int] = []

    def watch(run: Run, pc: int) -> None:
        if pc == run.symbol("lab_handler_stop"):
            depths.append(run.variable("lab_irq_depth"))
            assert run.exceptions.masked == (depths[-1] == 2)
            assert within(run.machine.registers()[run.image.arch.sp], ranges(run, 2))

    run = Run(kernel_image(arch, "tree"), 101, DEVICE, watch)
    assert run.go().status == 0
    assert len(depths) == run.taken
    assert set(depths) == {1, 2}
    assert depths.count(2) == run.nested


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_fault_is_handled_on_the_tasks_stack_and_tried_again(arch: str) -> None:
    seen: dict[int, int] = {}
    stops: list[int] = []

    def watch(run: Run, pc: int) -> None:
        sp = run.machine.registers()[run.image.arch.sp]
        if run.is_own(pc) and run.own % 50 == 0 and run.own not in seen:
            seen[run.own] = pc
            run.own -= 1  # it is announced again after the handler
            run.exceptions.take("sync")
        if pc == run.symbol("lab_handler_stop"):
            stops.append(pc)
            assert within(sp, ranges(run, 1))
            flags = run.word(run.variable("lab_current") + run.word(run.symbol("lab_task_layout") + 32))
            assert flags & IN_EXCEPTION

    alone = Run(kernel_image(arch, "tree"))
    assert alone.go().status == 0
    run = Run(kernel_image(arch, "tree"), watch=watch)
    outcome = run.go()
    assert outcome.status == 0
    assert len(stops) == len(seen) > 50
    assert run.own == alone.own


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_user_mode_makes_system_calls_from_its_own_stack(arch: str) -> None:
    before = [0]
    calls: list[bool] = []

    def watch(run: Run, pc: int) -> None:
        sp = run.machine.registers()[run.image.arch.sp]
        if run.exceptions.in_user:
            assert within(sp - 8, ranges(run, 3))
            before[0] = pc
        elif run.image.locate(pc) == "el0_sync+0x0":
            calls.append(run.image.locate(before[0]).startswith("user_call"))
            assert within(sp, ranges(run, 1))

    run = Run(kernel_image(arch, "tree"), watch=watch)
    assert run.go().status == 0
    assert len(calls) >= 4
    assert all(calls)
    assert run.in_user > 2 * len(calls)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_exception_flag_is_lost_to_a_nested_exception(arch: str) -> None:
    """One bit, no count: while the outer interrupt is still being handled, the inner one's exit has cleared it."""
    states: set[tuple[int, bool, bool]] = set()
    nested = [False]

    def watch(run: Run, pc: int) -> None:
        depth = run.variable("lab_irq_depth")
        if depth:
            nested[0] |= depth == 2
            flags = run.word(run.variable("lab_current") + run.word(run.symbol("lab_task_layout") + 32))
            states.add((depth, nested[0], bool(flags & IN_EXCEPTION)))
        else:
            nested[0] = False

    assert Run(kernel_image(arch, "tree"), 101, DEVICE, watch).go().status == 0
    assert (1, False, True) in states
    assert (1, False, False) not in states
    assert (1, True, False) in states, "in an exception, and the flag says no"
