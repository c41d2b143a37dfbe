"""Shadow balance: wherever the rewriter's layout says a return address is, it is.

Checked against the truth at every executed instruction, so in particular at every pop, that is at every
return; and at exit, where the shadow stack must hold exactly the entries of the functions still live
(none, unless the program ends inside one).  Rows that say "link register", "stack" or "outermost" are
checked as the ones that say "shadow stack" are: a wrong row would be held against the unwinder that uses it.
"""

from __future__ import annotations

from lab.arch.decode import Kind
from lab.covers import Coverage
from lab.engine.plan import make_reader
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import End, Limits, Machine, Outcome
from lab.truth import Activation, TruthStack
from lab.unwind.api import ON_SHADOW, ON_STACK, OUTERMOST, UNKNOWN


class BalanceCheck:
    """One execution of a rewritten image.  ``problem`` is "" or one line that names the first imbalance."""

    def __init__(self, image: Image, rewrite: RewriteMap, limits: Limits) -> None:
        self.image, self.layout = image, rewrite.layout
        self.machine = Machine(image, rewrite.layout, limits)
        self.reader = make_reader(self.machine)
        self.truth = TruthStack(Coverage(image, rewrite).body)
        self.problem = ""
        self.checked = 0
        arch = image.arch
        self._file = self.machine.register_file((arch.sp, arch.shadow_register or arch.sp, arch.lr or arch.sp))
        self._last = (0, 0)

    def run(self) -> Outcome:
        """Execute; afterwards ``problem`` and ``checked`` (stops at which the shadow top was compared) are valid."""
        outcome = self.machine.execute(self._instruction)
        if outcome.end is End.EXIT and not self.problem:
            self._at_exit()
        return outcome

    def _instruction(self, pc: int) -> None:
        sp, register, lr = self._file.read()
        self.truth.before(pc, sp)
        self._last = (pc, register)
        if not self.problem:
            self.problem = self._wrong(pc, sp, register, lr)
        insn = self.machine.insn_at(pc)
        if insn.kind is Kind.CALL:
            self.truth.call(insn.end, sp)

    def _wrong(self, pc: int, sp: int, register: int, lr: int) -> str:
        """What is not as the layout's row for *pc* says, "" if all is (or the row says "unknown")."""
        where, offset = self.reader.row(pc)
        innermost = self.truth.innermost
        if where == UNKNOWN:
            return ""
        place = self.image.locate(pc)
        if innermost is None or where == OUTERMOST:
            fine = innermost is None and where == OUTERMOST
            return "" if fine else f"{place}: the layout is wrong about whether anybody is to be returned to"
        if where == ON_SHADOW:
            self.checked += 1
            found, name = self._top(innermost, register), "shadow top"
        elif where == ON_STACK:
            found, name = self.machine.memory.load(sp + offset), f"[SP + {offset}]"
        else:
            found, name = self.image.arch.strip(lr), "link register"
        if found == innermost.ra:
            return ""
        got = "nothing" if found is None else f"{found:#x}"
        return f"{place}: {name} is {got}, the true return address {innermost.ra:#x}"

    def _pointer(self, register: int) -> int:
        cell = self.layout.cell
        return register if cell is None else self.machine.memory.load(cell) or 0

    def _top(self, innermost: Activation, register: int) -> int | None:
        if self.layout.distance is not None:
            slot = innermost.sp_at_call - self.image.arch.call_pushes - self.layout.distance
            return self.machine.memory.load(slot)
        base, _ = self.machine.shadow_bounds
        pointer = self._pointer(register)
        return self.machine.memory.load(pointer - 8) if pointer > base else None

    def _at_exit(self) -> None:
        """The entries that are left belong to the functions that are still live, in their order."""
        if self.layout.distance is not None:
            return  # a parallel shadow stack has no pointer: nothing to be empty
        pc, register = self._last
        base, limit = self.machine.shadow_bounds
        if not base <= self._pointer(register) <= limit:
            self.problem = f"at exit the shadow-stack pointer {self._pointer(register):#x} is outside its storage"
            return
        left = [self.machine.memory.load(at) for at in range(base, self._pointer(register), 8)]
        expected = []
        inside = pc
        for activation in self.truth.activations():
            if self.reader.row(inside)[0] == ON_SHADOW:
                expected.append(activation.ra)
            inside = activation.ra - 1
        if left != expected[::-1]:
            self.problem = (
                f"at exit the shadow stack holds {len(left)} entries, {len(expected)} functions are live on it"
            )
