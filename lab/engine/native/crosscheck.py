"""Every predicted store against the processor's own report: runs with the package, not only with its tests.

Plain Python and slow.  The prediction is made before the instruction executes; unicorn then reports each write; the
two are compared at the next instruction.  ``Machine.execute`` announces a rep-prefixed instruction once, so its later
iterations are predicted here: iteration *i* writes *i* operand sizes further on, downwards if the direction
flag is set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lab.engine.native.classify import REPEAT, ROW_REGISTERS, STORE, UNPREDICTED, Classified, classify, predicted
from lab.errors import EngineError
from lab.images.image import Image
from lab.layout import ShadowLayout
from lab.machine.machine import Limits, Machine

MOST_LINES = 10
_DIRECTION = 1 << 10  # RFLAGS.DF


@dataclass
class StoreCheck:
    """Executed instructions by what came of their prediction; ``wrong`` holds at most MOST_LINES lines.

    ``matched``: wrote, all of it within the prediction; ``wide`` of these wrote less than predicted.
    ``unpredicted``: wrote, and said that it may write anywhere.  ``surplus``: predicted, and wrote nothing.
    ``faults``: wrote outside its prediction, or had none.  ``silent``: no store, no prediction.
    """

    matched: int = 0
    wide: int = 0
    unpredicted: int = 0
    surplus: int = 0
    silent: int = 0
    faults: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def instructions(self) -> int:
        """All that were compared."""
        return self.matched + self.unpredicted + self.surplus + self.silent + self.faults


class _Expected(NamedTuple):
    """One announced instruction: ``address`` and ``size`` (bytes) of its store, ``step`` bytes per iteration."""

    pc: int
    flags: int
    address: int
    size: int
    step: int


class _Checker:
    def __init__(self, machine: Machine) -> None:
        self.machine, self.arch = machine, machine.arch
        self.check = StoreCheck()
        self._registers = machine.register_file(ROW_REGISTERS[self.arch.name])
        self._direction = machine.register_file(("flags",))
        self._expected: _Expected | None = None
        self._written: list[tuple[int, int]] = []

    def instruction(self, pc: int) -> None:
        """The previous instruction has retired: judge it, then predict this one."""
        self.judge()
        found = classify(self.arch, self.machine.code_at(pc), pc)
        self._expected = self._predict(pc, found)

    def access(self, is_write: bool, address: int, size: int) -> None:
        """One access of the instruction announced last.  What is not mapped was not written: it is the end."""
        if is_write and self.machine.memory.find(address) is not None:
            self._written.append((address, size))

    def _predict(self, pc: int, found: Classified) -> _Expected:
        if not found.flags & STORE:
            return _Expected(pc, found.flags, 0, 0, 0)
        address, size = predicted(found.row, self._registers.read(), pc)
        down = found.flags & REPEAT and self._direction.read()[0] & _DIRECTION
        return _Expected(pc, found.flags, address, size, -size if down else size)

    def judge(self) -> None:
        """Compare the instruction announced last with what it wrote."""
        expected, written = self._expected, self._written
        self._expected, self._written = None, []
        if expected is None:
            return
        check = self.check
        if expected.flags & UNPREDICTED:
            check.unpredicted += bool(written)
            check.silent += not written
        elif not expected.flags & STORE:
            check.silent += not written
            if written:
                self._fault(expected, written[0])
        elif not written:
            check.surplus += 1
        else:
            self._compare(expected, written)

    def _compare(self, expected: _Expected, written: list[tuple[int, int]]) -> None:
        repeat = bool(expected.flags & REPEAT)
        for index, (address, size) in enumerate(written):
            low = expected.address + index * expected.step * repeat
            if not low <= address <= address + size <= low + expected.size:
                self._fault(expected, (address, size))
                return
        self.check.matched += 1
        self.check.wide += not repeat and _union(written) != expected.size

    def _fault(self, expected: _Expected, real: tuple[int, int]) -> None:
        check = self.check
        check.faults += 1
        if len(check.wrong) >= MOST_LINES:
            return
        insn = self.machine.insn_at(expected.pc)
        place = self.machine.image.locate(expected.pc)
        said = f"{expected.size} bytes at {expected.address:#x}" if expected.flags & STORE else "no store"
        check.wrong.append(
            f"{expected.pc:#x} ({place}) '{insn.text}': predicted {said}, wrote {real[1]} bytes at {real[0]:#x}"
        )


def _union(written: list[tuple[int, int]]) -> int:
    return len({byte for address, size in written for byte in range(address, address + size)})


def check_stores(image: Image, layout: ShadowLayout | None, limits: Limits) -> StoreCheck:
    """Run *image* once and compare every store with its prediction.  EngineError where nothing was compared."""
    machine = Machine(image, layout, limits)
    checker = _Checker(machine)
    machine.execute(checker.instruction, checker.access)
    checker.judge()
    if not checker.check.instructions:
        raise EngineError(f"{image.path}: not one instruction was announced; this is a fault of the lab")
    return checker.check


__all__ = ["MOST_LINES", "StoreCheck", "check_stores"]
