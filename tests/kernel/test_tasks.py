"""The context switch: what it saves of a task, and what the advisory flag says meanwhile."""

from __future__ import annotations

import pytest

from lab.machine.exceptions import TIMER
from tests.kernel.running import Run, kernel_image
from tests.support import ARCH_NAMES

PREEMPTED = 1
FP, SP, PC, SSP, FLAGS, REGS, CELL = range(7)


def offset(run: Run, word: int) -> int:
    return run.word(run.symbol("lab_task_layout") + 8 * word)


def stack_of(run: Run, task: int) -> tuple[int, int]:
    """[low, high) of a task's own stack."""
    at = run.symbol("lab_stacks")
    while run.word(at):
        if run.word(at + 40) == task and run.word(at + 32) == 1:
            return run.word(at), run.word(at + 8)
        at += 48
    raise AssertionError(f"no stack of {task:#x}")


def saved(run: Run, task: int) -> tuple[int, int, int]:
    """(fp, sp, pc) of a task that does not run, as a host reads them."""
    sp = run.word(task + offset(run, SP))
    if run.image.arch.lr is not None:
        return run.word(task + offset(run, FP)), sp, run.word(task + offset(run, PC))
    fp, pc = (run.word(run.symbol("lab_switch_frame") + 8 * i) for i in range(2))
    return run.word(sp + fp), sp, run.word(sp + pc)


def chain(run: Run, fp: int, low: int, high: int) -> int:
    """Frame records from *fp* until the walk leaves [low, high) or meets what is no plain record; how many."""
    count = 0
    while low <= fp < high and not fp & 1 and run.word(fp + 8):
        count, older = count + 1, run.word(fp)
        assert older > fp or not low <= older < high
        fp = older
    return count


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_switched_out_task_can_be_found_from_what_was_saved(arch: str) -> None:
    met: list[int] = []
    returns: dict[int, int] = {}

    def watch(run: Run, pc: int) -> None:
        if run.image.locate(pc) == "cpu_switch_to+0x0":
            registers = run.machine.registers()
            at_entry = registers["x30"] if run.image.arch.lr else run.word(registers["rsp"])
            returns[run.variable("lab_current")] = at_entry
        if pc == run.symbol("lab_switched"):
            task = run.variable("lab_current")
            low, high = stack_of(run, task)
            fp, sp, at = saved(run, task)
            assert low <= sp < high
            assert at == returns[task]
            assert run.image.locate(at).startswith("schedule+")
            met.append(chain(run, fp, low, high))
            now = run.machine.registers()[run.image.arch.sp]
            assert not low <= now < high, "SP is the next task's"

    run = Run(kernel_image(arch, "tree"), 301, TIMER, watch)
    assert run.go().status == 0
    assert len(met) == run.switches > 20
    assert min(met) >= 1
    assert max(met) >= 4


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_preempted_flag_is_late_to_come_and_late_to_go(arch: str) -> None:
    """Set on every task that is switched out at the end of an interrupt; but not yet when its handler runs, and still
    set for some instructions after the task runs again."""
    at_switch: set[bool] = set()
    in_handler: set[bool] = set()
    running: list[int] = []

    def watch(run: Run, pc: int) -> None:
        task = run.variable("lab_current")
        flag = bool(run.word(task + offset(run, FLAGS)) & PREEMPTED)
        if pc == run.symbol("lab_switched"):
            at_switch.add(flag)
        elif pc == run.symbol("lab_handler_stop"):
            in_handler.add(flag)
        elif flag and not run.exceptions.masked:
            running.append(pc)
        assert not (flag and run.is_own(pc)), "not when the task's own code runs again"

    run = Run(kernel_image(arch, "tree"), 301, TIMER, watch)
    assert run.go().status == 0
    assert at_switch == {True, False}, "by preemption and by its own will"
    assert False in in_handler
    assert running, "set while it runs, with interrupts enabled"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_every_task_has_its_turn_and_the_idle_task_too(arch: str) -> None:
    seen: set[int] = set()

    def watch(run: Run, pc: int) -> None:
        if pc == run.symbol("lab_switched"):
            seen.add(run.variable("lab_current"))

    run = Run(kernel_image(arch, "tree"), watch=watch)
    assert run.go().status == 0
    assert len(seen) == 4
