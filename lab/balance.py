"""Shadow balance: wherever the rewriter's layout says a return address is, it is.

Checked against the truth at every executed instruction, so in particular at every pop, that is at every
return; and at exit, where the shadow stack must hold exactly the entries of the functions still live
(none, unless the program ends inside one).  Rows that say "link register", "stack" or "outermost" are
checked as the ones that say "shadow stack" are: a wrong row would be held against the unwinder that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.arch.decode import Kind
from lab.covers import Coverage
from lab.engine.guest import Guest
from lab.engine.native.cells import S
from lab.engine.native.engine import NativeEngine
from lab.engine.native.tables import TooWideError
from lab.engine.plan import TICK_EVERY, Injection, Plan, make_reader, shadow_pointer
from lab.errors import EngineError
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import End, Limits, Machine, Outcome, Process
from lab.machine.stacks import StackKind
from lab.truth import Activation, GuestTruth
from lab.unwind.api import ON_SHADOW, ON_STACK, OUTERMOST, UNKNOWN
from lab.unwind.reader import Reader


class Balance:
    """The question itself, asked of one machine.  ``problem`` is "" or one line that names the first imbalance."""

    def __init__(self, image: Image, rewrite: RewriteMap, machine: Machine, reader: Reader) -> None:
        self.image, self.layout = image, rewrite.layout
        self.machine, self.reader = machine, reader
        self.problem = ""
        self.checked = self.stacks = 0

    def wrong(self, pc: int, registers: tuple[int, int, int], innermost: Activation | None) -> str:
        """What is not as the layout's row for *pc* says, "" if all is (or the row says "unknown").  *registers*
        are SP, the one kept for the shadow-stack pointer, and the link register."""
        sp, register, lr = registers
        where, offset = self.reader.row(pc)
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

    def _top(self, innermost: Activation, register: int) -> int | None:
        """The newest entry of the shadow stack that goes with the stack at hand."""
        if self.layout.distance is not None:
            slot = innermost.sp_at_call - self.image.arch.call_pushes - self.layout.distance
            return self.machine.memory.load(slot)
        pointer = shadow_pointer(self.machine, register)
        return self.machine.memory.load(pointer - 8) if pointer > self.reader.shadow_base else None

    def at_exit(self, pc: int, register: int, return_addresses: tuple[int, ...]) -> None:
        """The entries that are left belong to the functions that are still live (*return_addresses*, innermost
        first), in their order."""
        self._left(pc, shadow_pointer(self.machine, register), return_addresses)

    def switched_out(self, guest: Guest, live: Mapping[int, tuple[Activation, ...]]) -> None:
        """At exit, of each task that is switched out: the same for what its switch has saved.  *live*: the activations
        of each stack, innermost first.  One that was preempted is left out: an exception leaves words of its own."""
        for index in sorted(live):
            activations = live[index]
            if activations and guest.is_task(index) and not any(activation.taken for activation in activations):
                saved = guest.saved(index)
                guest.show(self.reader, index)
                self._left(saved.pc, saved.ssp, tuple(activation.ra for activation in activations[1:]))
                self.stacks += 1

    def _left(self, pc: int, pointer: int, return_addresses: tuple[int, ...]) -> None:
        if self.layout.distance is not None or self.problem:
            return  # a parallel shadow stack has no pointer: nothing to be empty
        base, limit = self.reader.shadow_base, self.reader.shadow_limit
        if not base <= pointer <= limit:
            self.problem = f"at exit the shadow-stack pointer {pointer:#x} is outside its storage"
            return
        left = [self.machine.memory.load(at) for at in range(base, pointer, 8)]
        expected = []
        inside = pc
        for ra in return_addresses:
            if self.reader.row(inside)[0] == ON_SHADOW:
                expected.append(ra)
            inside = ra - 1
        if left != expected[::-1]:
            self.problem = (
                f"at exit the shadow stack holds {len(left)} entries, {len(expected)} functions are live on it"
            )


def _interrupts(image: Image) -> Injection | None:
    """An image with the small kernel is checked under its timer, which preempts: None for every other."""
    return Injection(every=TICK_EVERY, seed=1) if "vector_irq" in image.symbols else None


def check_balance(image: Image, rewrite: RewriteMap, limits: Limits, process: Process | None = None) -> Balance:
    """Execute *image* once; the first imbalance, and at how many stops the shadow top was compared."""
    plan = Plan((), (), limits, process=process, injection=_interrupts(image))
    try:
        engine = _NativeBalance(image, rewrite, plan)
    except TooWideError:
        return check_balance_plainly(image, rewrite, limits, process)
    engine.execute()
    return engine.balance


class _NativeBalance(NativeEngine):
    """The check in compiled code; where that finds an imbalance, Python is asked for its words."""

    def __init__(self, image: Image, rewrite: RewriteMap, plan: Plan) -> None:
        super().__init__(image, rewrite, plan, balance=True)
        self.balance = Balance(image, rewrite, self.machine, self.reader)

    def execute(self) -> None:
        """Run; afterwards ``balance`` is valid."""
        outcome = self.run().outcome
        self.balance.checked = self.state[S.BALANCED]
        if outcome.end is End.EXIT and not self.balance.problem:
            regs = self.regs()
            self.balance.at_exit(regs.pc, regs.ssp, self.truth())
            self.balance.switched_out(self.stacks.guest, self.stacks.others())

    def _imbalance(self, _a: int, _b: int) -> None:
        regs, truth = self.regs(), self.activations()
        innermost = truth[0] if truth else None
        self.balance.problem = self.balance.wrong(regs.pc, (regs.sp, regs.ssp, regs.lr), innermost)
        if not self.balance.problem:
            place = self.image.locate(regs.pc)
            raise EngineError(f"{self.image.path}: compiled and plain balance checks disagree at {place}")


def check_balance_plainly(image: Image, rewrite: RewriteMap, limits: Limits, process: Process | None = None) -> Balance:
    """The same in plain Python, with the reference engine's truth: what ``check_balance`` is compared with."""
    machine = Machine(image, rewrite.layout, limits, process)
    balance = Balance(image, rewrite, machine, make_reader(machine))
    guest = Guest(machine)
    truth, low, high = GuestTruth(guest.linking, Coverage(image, rewrite).body), machine.stack_low, machine.stack_high
    guest.show(balance.reader, 0)
    arch = image.arch
    file = machine.register_file((arch.sp, arch.shadow_register or arch.sp, arch.lr or arch.sp))
    last, user = (0, 0), False  # user mode begins in a function that nobody has called

    def delivered(ra: int, sp: int) -> None:
        begin = truth.now.call if machine.exceptions is None else truth.now.take
        begin(ra, sp)

    machine.on_delivery(delivered)

    def instruction(pc: int) -> None:
        nonlocal last, low, high, user
        sp, register, lr = file.read()
        if not low <= sp <= high and (index := guest.holding(sp)) is not None:
            truth.enter(index)
            guest.show(balance.reader, index)
            low, high = guest.stacks[index].low, guest.stacks[index].high
            user = guest.stacks[index].kind is StackKind.USER
        truth.now.before(pc, sp)
        last = (pc, register)
        innermost = truth.now.innermost
        if not balance.problem and (innermost or not user):
            balance.problem = balance.wrong(pc, (sp, register, lr), innermost)
        insn = machine.insn_at(pc)
        if insn.kind is Kind.CALL:
            truth.now.call(insn.end, sp)

    outcome: Outcome = machine.execute(instruction)
    if outcome.end is End.EXIT and not balance.problem:
        balance.at_exit(*last, truth.now.trace())
    return balance
