"""From a tracked unit: each member's exits, or the first reason why it is not understood."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.images.image import Image
from rewriters.census.body import Exit, ExitKind
from rewriters.census.scan import Flow, Op
from rewriters.census.solve import calls, is_pointer, solve
from rewriters.census.track import ALIGNED, State, Track
from rewriters.census.unit import Place, Unit

_DIRECT = {Flow.JUMP: ExitKind.TAIL, Flow.BRANCH: ExitKind.TAIL_CONDITIONAL, Flow.SHORT: ExitKind.TAIL_CONDITIONAL}
_LEAVING = frozenset({Flow.RETURN, Flow.INDIRECT, Flow.FAR})
_COMPUTES = frozenset({Op.SP_REG, Op.SP_MOVE, Op.SP_LOST})


@dataclass
class Verdict:
    """About one member.  ``problem``: "" or why it is left out, at ``where``; ``switch``: it changes stacks."""

    place: Place
    exits: list[Exit] = field(default_factory=list)
    to_entry: list[int] = field(default_factory=list)
    into: list[tuple[int, int]] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    over_prefix: list[int] = field(default_factory=list)
    bare_calls: list[int] = field(default_factory=list)
    problem: str = ""
    where: int = 0
    switch: bool = False

    def refuse(self, address: int, problem: str) -> None:
        """The first problem stands."""
        if not self.problem:
            self.problem, self.where = problem, address


@dataclass
class Judged:
    """``verdicts``: one a member.  ``entered``: addresses of other functions' entries that a member jumps to with its
    frame up.  ``leads``: (index of an indirect jump or call, index it may lead to by table or exception)."""

    verdicts: list[Verdict]
    entered: set[int]
    leads: list[tuple[int, int]]


def judge(image: Image, unit: Unit, entries: frozenset[int]) -> Judged:
    """Track *unit* and judge its members; *entries*: addresses of all functions' starts and entries."""
    return _Judge(solve(image, unit), entries).run()


class _Judge:
    def __init__(self, track: Track, entries: frozenset[int]) -> None:
        self.track, self.unit, self.scan = track, track.unit, track.unit.scan
        self.entries = entries
        self.entered: set[int] = set()
        self.orphans = track.orphans()

    def run(self) -> Judged:
        """Every event, in order, then the ways out of functions' ends."""
        verdicts = {place.low: Verdict(place) for place in self.unit.places}
        for node in range(len(self.unit.events)):
            self._event(node, verdicts[self.unit.places[self.unit.owner[node]].low])
        for node, place in self.track.falls.items():
            if node < 0 or not calls(self.unit, self.unit.events[node]):  # else: a call that does not return
                verdicts[place.low].refuse(place.function.end, "falls through into whatever follows it")
        return Judged(list(verdicts.values()), self.entered, self._leads())

    def _leads(self) -> list[tuple[int, int]]:
        goals = self.track.leaders + self.orphans
        jumps = [i for i in self.unit.events if self.scan.flows[i] == Flow.INDIRECT]
        return self.track.lands + [(i, goal) for i in jumps for goal in goals]

    def _event(self, node: int, verdict: Verdict) -> None:
        index = self.unit.events[node]
        address, kind, state = self.scan.addresses[index], self.scan.flows[index], self.track.before[node]
        if node in self.track.switches:
            verdict.switch = True
            verdict.refuse(address, "switches stacks: loads SP from memory or a register that held no SP")
        if kind in {Flow.CALL, Flow.CALL_INDIRECT} and state is not None and state[0] == 0:
            verdict.bare_calls.append(address)
        if state is not None and state[0] is not None and 0 < state[0] < ALIGNED // 2:
            verdict.refuse(address, "moves the stack pointer above its value at entry")
        if kind in _DIRECT and (goal := self.unit.goals[node]) is not None:
            self._inside(address, goal, state, verdict)
        elif kind in _DIRECT or kind in _LEAVING:
            self._leave(node, Flow(kind), state, verdict)
        elif kind in {Flow.BAD, Flow.DATA} and state is not None and not self._after_call(node):
            what = "undecodable bytes" if kind == Flow.BAD else "data"
            verdict.refuse(address, f"control runs into {what}")

    def _inside(self, address: int, goal: int, state: State | None, verdict: Verdict) -> None:
        """A direct jump that stays in the unit."""
        home = verdict.place
        if goal - 1 in self.scan.prefixes:
            verdict.over_prefix.append(address)
        if not home.low <= goal < home.high:
            verdict.into.append((address, self.scan.addresses[goal]))
        elif goal <= home.entry and state is not None:
            verdict.to_entry.append(address)

    def _leave(self, node: int, kind: Flow, state: State | None, verdict: Verdict) -> None:
        index = self.unit.events[node]
        address = self.scan.addresses[index]
        if state is None:
            if kind is Flow.RETURN:  # dead, or reached by means that must leave it a return
                verdict.exits.append(self._exit(index, ExitKind.RETURN))
            else:
                verdict.refuse(address, "no path of the flow analysis reaches this exit")
        elif kind is Flow.FAR:
            verdict.refuse(address, "returns from an exception or interrupt")
        elif kind is not Flow.JUMP and kind not in _DIRECT and self._computed_sp(node):
            verdict.switch = True
            verdict.refuse(address, "unwinds: leaves with SP at a computed value")
        elif kind is Flow.RETURN:
            self._return(index, state, verdict)
        elif kind is Flow.INDIRECT:
            self._indirect(node, state, verdict)
        else:
            self._direct(index, kind, state, verdict)

    def _direct(self, index: int, kind: Flow, state: State, verdict: Verdict) -> None:
        address, target = self.scan.addresses[index], self.scan.targets[index]
        problem = _frame_problem(state, "tail call")
        if state[0] and target in self.entries:
            self.entered.add(target)
            problem = f"jumps with its frame up to another function's entry at {target:#x}"
        elif kind is Flow.SHORT:
            problem = problem or "leaves the function by a loop instruction, which reaches 127 bytes only"
        if problem:
            verdict.refuse(address, problem)
        else:
            verdict.exits.append(self._exit(index, _DIRECT[kind]))

    def _return(self, index: int, state: State, verdict: Verdict) -> None:
        lr = self.track.origins.image.arch.lr
        register = self.scan.branch_register.get(index)
        if register is not None and register != lr:
            state = (state[0], state[1], self.track.holds_return(index, register))
        problem = _frame_problem(state, "return")
        if problem:
            verdict.refuse(self.scan.addresses[index], problem)
        else:
            verdict.exits.append(self._exit(index, ExitKind.RETURN))

    def _indirect(self, node: int, state: State, verdict: Verdict) -> None:
        index = self.unit.events[node]
        address = self.scan.addresses[index]
        if node in self.track.tables:
            verdict.tables.append(address)
            return
        problem = _frame_problem(state, "indirect jump")
        if not problem and not is_pointer(self.track, node):
            problem = "whether this indirect jump is a jump table or a tail call cannot be told"
        if not problem and self.orphans:
            problem = "whether this indirect jump is a tail call or leads to code nothing else reaches cannot be told"
        if problem:
            verdict.refuse(address, problem)
        else:
            verdict.exits.append(self._exit(index, ExitKind.TAIL_INDIRECT))

    def _exit(self, index: int, kind: ExitKind) -> Exit:
        scan = self.scan
        through = kind in {ExitKind.RETURN, ExitKind.TAIL_INDIRECT}
        mask = 0 if kind is ExitKind.RETURN else int(scan.reads[index])
        return Exit(
            scan.addresses[index],
            int(scan.size[index]),
            kind,
            scan.branch_register.get(index) if through else None,
            None if through else scan.targets[index],
            tuple(name for name, bit in scan.bits.items() if bit & mask),
            index in scan.authenticated,
        )

    def _computed_sp(self, node: int) -> bool:
        """Whether SP gets a computed value on the straight way to *node*, and nothing else afterwards but constants."""
        unit, state = self.unit, self.track.before[node]
        if state is None or state[0] is not None or node in self.track.tables:
            return False
        for back in range(node - 1, -1, -1):
            index = unit.events[back]
            if unit.owner[back] != unit.owner[node] or self.scan.flows[index] != Flow.NONE:
                return False
            if any(op[0] in _COMPUTES for op in self.scan.effects.get(index, ())):
                return True
        return False

    def _after_call(self, node: int) -> bool:
        """Whether only a call comes before *node*: one that does not return, then."""
        unit = self.unit
        return node > 0 and unit.owner[node - 1] == unit.owner[node] and calls(unit, unit.events[node - 1])


def _frame_problem(state: State, what: str) -> str:
    if state[0] is None:
        return f"the stack pointer is not known to be back at its entry value at this {what}"
    if state[0]:
        return f"the stack pointer is not back at its entry value at this {what}"
    return "" if state[2] else f"the return address is not known to be in its place at this {what}"
