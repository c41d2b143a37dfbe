"""The kernel's unwind information is right at every instruction it executes, through exceptions and both stacks."""

from __future__ import annotations

import pytest

from lab.machine.exceptions import TIMER
from tests.kernel.running import Run, kernel_image
from tests.kernel.unwinding import numbered, unwind
from tests.support import ARCH_NAMES


class Checked:
    """Keeps what was interrupted, task by task, and compares it with what the unwind information recovers."""

    def __init__(self) -> None:
        self.open: dict[int, list[tuple[int, dict[int, int]]]] = {}
        self.checked = self.deepest = 0

    def before_take(self, run: Run, pc: int) -> None:
        if not run.exceptions.in_user:
            self.open.setdefault(run.variable("lab_current"), []).append((pc, numbered(run)))

    def watch(self, run: Run, pc: int) -> None:
        mine = self.open.setdefault(run.variable("lab_current"), [])
        sp = 31 if run.image.arch.name == "aarch64" else 7
        if mine and mine[-1][0] == pc and mine[-1][1][sp] == numbered(run)[sp]:
            assert self.same(mine.pop()[1], numbered(run)), "the exception changed a register"
            return
        if not run.in_kernel(pc) or run.exceptions.in_user or run.image.locate(pc).startswith("cpu_switch_to"):
            return
        found = [(at, registers) for at, registers, interrupted in unwind(run, pc) if interrupted]
        assert [at for at, _ in found] == [at for at, _ in reversed(mine)], run.image.locate(pc)
        for (_, recovered), (_, true) in zip(found, reversed(mine), strict=True):
            assert self.same(true, recovered), run.image.locate(pc)
        self.checked += 1
        self.deepest = max(self.deepest, len(mine))

    @staticmethod
    def same(true: dict[int, int], found: dict[int, int]) -> bool:
        return all(found[number] == old for number, old in true.items() if number != 33)


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize(("workload", "every"), [("tree", 701), ("alloca", 193)])
def test_every_register_is_recovered_from_every_instruction(workload: str, every: int, arch: str) -> None:
    checked = Checked()
    run = Run(kernel_image(arch, workload), every, TIMER, checked.watch, checked.before_take)
    assert run.go().status == 0
    assert checked.checked > 1000
    assert checked.deepest == 2, "an interrupt within an interrupt"
