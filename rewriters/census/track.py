"""SP, FP and the return address before every event of a unit: forwards, to a fixed point."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from rewriters.census.origins import Made, Origins
from rewriters.census.scan import Flow, Op
from rewriters.census.unit import Place, Unit

State = tuple[int | None, int | None, bool]
"""SP and FP minus SP at entry (None: unknown), and whether the return address is where it was at entry: in the link
register (AArch64), in its slot (x86-64).  A rounded-down SP counts from a base of its own."""

ALIGNED = 1 << 40
#: Where the one entry a function has on the compiler's shadow stack counts as being: nowhere on the stack.
_SHADOW = -(1 << 60)
_QUIET = frozenset({Flow.TRAP, Flow.DATA, Flow.BAD})


def join(one: State, other: State) -> State:
    """What both agree on."""
    return (
        one[0] if one[0] == other[0] else None,
        one[1] if one[1] == other[1] else None,
        one[2] and other[2],
    )


@dataclass
class Track:
    """A unit being tracked.  ``before``: state per node (None: not reached).  ``falls``: nodes (-1: the function's
    start or a jump) after which control runs out of its function, and that one's place.  ``tables``:
    nodes taken for table jumps.  ``switches``: nodes that set SP from elsewhere.
    ``leaders``: indices the tables lead to; ``lands``: (index of a call, index of a landing pad)."""

    unit: Unit
    origins: Origins
    call_pushes: int
    before: list[State | None] = field(init=False)
    falls: dict[int, Place] = field(default_factory=dict)
    tables: set[int] = field(default_factory=set)
    leaders: list[int] = field(default_factory=list)
    lands: list[tuple[int, int]] = field(default_factory=list)
    switches: set[int] = field(default_factory=set)
    slots: dict[int, tuple[str, int]] = field(default_factory=dict)
    saved: set[int] = field(default_factory=set)
    pending: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = [None] * len(self.unit.events)

    def seed(self, index: int, state: State, source: int = -1) -> None:
        """*state* holds before instruction *index*."""
        node = self.unit.node_at(index)
        if node is None:
            place = self.unit.place_of(index)
            assert place is not None, "a unit's jump leads into the unit"
            self.falls[source if source >= 0 else -1 - place.low] = place
            return
        old = self.before[node]
        new = state if old is None else join(old, state)
        if new != old:
            self.before[node] = new
            self.pending.append(node)

    def flow(self) -> None:
        """Run until nothing changes."""
        unit, scan = self.unit, self.unit.scan
        while self.pending:
            node = self.pending.pop()
            index = unit.events[node]
            state = self.before[node]
            assert state is not None
            kind = scan.flows[index]
            if index in scan.effects:
                state = self.apply(node, index, state)
            elif kind in {Flow.CALL, Flow.CALL_INDIRECT} and not self.call_pushes:
                state = (state[0], state[1], False)
            goal = unit.goals[node]
            if goal is not None:
                self.seed(goal, state, node)
            if node in self.tables:
                for leader in self.leaders:
                    self.seed(leader, state, node)
            if not unit.ends_at(index):
                self._next(node, index, state)

    def _next(self, node: int, index: int, state: State) -> None:
        unit = self.unit
        following = node + 1
        if following < len(unit.events) and unit.owner[following] == unit.owner[node]:
            old = self.before[following]
            new = state if old is None else join(old, state)
            if new != old:
                self.before[following] = new
                self.pending.append(following)
        else:
            self.falls[node] = unit.places[unit.owner[node]]

    def apply(self, node: int, index: int, state: State) -> State:
        """*state* after the effects of instruction *index*."""
        sp, fp, lr = state
        for op, *operands in self.unit.scan.effects[index]:
            match op:
                case Op.SP_ADD:
                    sp = None if sp is None else sp + operands[0]
                case Op.SP_FP:
                    sp = None if fp is None else fp + operands[0]
                case Op.FP_SP:
                    fp = None if sp is None else sp + operands[0]
                case Op.FP_ADD:
                    fp = None if fp is None else fp + operands[0]
                case Op.FP_LOST:
                    fp = None
                case Op.SP_REG:
                    sp = self._from_register(node, index, operands[0], operands[1])
                case Op.SP_MOVE:
                    amount = self.origins.constant(index, operands[0])
                    sp = None if sp is None or amount is None else sp + operands[1] * amount
                case Op.SP_ALIGN:
                    sp = ALIGNED * (index + 1)
                case Op.SP_LOST:
                    sp = None
                case Op.SP_LOAD:
                    sp = None
                    if not self._in_frame(index, operands[0]):
                        self.switches.add(node)
                case Op.PUSH:
                    if sp is not None:
                        self.slots[sp] = (operands[0], index)
                case _:
                    lr = self._link(index, op, operands, (sp, fp, lr))
        return sp, fp, lr

    def _link(self, index: int, op: Op, operands: list[int | str], state: State) -> bool:
        """Whether the return address is still, or again, where it was at entry."""
        sp, fp, lr = state
        if op is Op.LR_LOST:
            return False
        if op is Op.LR_REG:
            return self.holds_return(index, str(operands[0]))
        base = (sp, fp, _SHADOW)[int(operands[0])]
        slot = None if base is None else base + int(operands[1])
        if op is Op.LR_SAVE:
            if lr and slot is not None:
                self.saved.add(slot)
            return lr
        if op is Op.LR_LOAD:
            return slot in self.saved
        return lr and slot != 0  # SLOT_WRITE

    def holds_return(self, index: int, register: str) -> bool:
        """Whether *register* holds the return address before *index*: copied from the link register while it did.

        A caller-saved register in which hand-written code keeps it across a call is believed to be kept."""
        lr = self.origins.image.arch.lr
        found = self.origins.of(index, register, through_calls=True)
        return bool(found) and all(o.made is Made.ENTRY and o.register == lr and not o.offset for o in found)

    def _from_register(self, node: int, index: int, register: str, offset: int) -> int | None:
        """SP = register + offset: where the register holds an earlier SP."""
        found = set()
        for origin in self.origins.of(index, register):
            value = self._stack_value(origin.made, origin.index, origin.register, origin.offset)
            if value is None and origin.made not in {Made.STACK, Made.FRAME, Made.SUM}:
                self.switches.add(node)
            found.add(value)
        value = found.pop() if len(found) == 1 else None
        return None if value is None else value + offset

    def _in_frame(self, index: int, register: str) -> bool:
        """Whether *register* points into the stack."""
        found = self.origins.of(index, register) if register else frozenset()
        return bool(found) and all(origin.made is Made.STACK for origin in found)

    def _stack_value(self, made: Made, index: int, base: str, offset: int) -> int | None:
        if made not in {Made.STACK, Made.FRAME}:
            return None
        state = self.state_at(index)
        if state is None:
            return None
        start = state[0] if base == self.origins.image.arch.sp else state[1]
        if start is None:
            return None
        if made is Made.STACK:
            return start + offset
        known = self.slots.get(start + offset)
        if known is None:
            return None
        values = {
            self._stack_value(o.made, o.index, o.register, o.offset) if o.made is Made.STACK else None
            for o in self.origins.of(known[1], known[0])
        }
        return values.pop() if len(values) == 1 else None

    def state_at(self, index: int) -> State | None:
        """The state before instruction *index*; None if nothing reaches it."""
        node = self.unit.node_at(index)
        return None if node is None else self.before[node]

    def orphans(self) -> list[int]:
        """Indices where unreached code begins that no known jump leads to; if all of it is jumped to, the first."""
        unit = self.unit
        flows = unit.scan.flows
        goals = sorted({goal for goal in unit.goals if goal is not None})
        first: list[int] = []
        found = []
        for node, state in enumerate(self.before):
            if state is not None or flows[unit.events[node]] in _QUIET:
                continue
            place = unit.places[unit.owner[node]]
            previous = unit.events[node - 1] if node and unit.owner[node - 1] == unit.owner[node] else place.low - 1
            if previous >= place.low and not unit.ends_at(previous) and self.before[node - 1] is None:
                continue
            start = previous + 1
            first = first or [start]
            at = bisect_left(goals, start)
            if at == len(goals) or goals[at] > unit.events[node]:
                found.append(start)
        return found or first
