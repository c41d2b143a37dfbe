"""From a tracked unit: each member's exits, or the first reason why it is not understood."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.images.image import Image
from rewriters.census.body import Exit, ExitKind
from rewriters.census.origins import Made, Origin, Origins
from rewriters.census.scan import Flow, Op
from rewriters.census.track import ALIGNED, State, Track
from rewriters.census.unit import Place, Unit

_DIRECT = {Flow.JUMP: ExitKind.TAIL, Flow.BRANCH: ExitKind.TAIL_CONDITIONAL, Flow.SHORT: ExitKind.TAIL_CONDITIONAL}
_COMPUTES = frozenset({Op.SP_REG, Op.SP_MOVE, Op.SP_LOST})
_LEAVING = frozenset({Flow.RETURN, Flow.INDIRECT, Flow.FAR})
_POINTERS = frozenset({Made.ENTRY, Made.LOAD, Made.MIXED, Made.FRAME, Made.CALL, Made.ADDRESS, Made.CONSTANT})


@dataclass
class Verdict:
    """About one member.  ``problem``: "" or why it is left out, at ``where``; ``switch``: it changes stacks."""

    place: Place
    exits: list[Exit] = field(default_factory=list)
    to_entry: list[int] = field(default_factory=list)
    into: list[tuple[int, int]] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    over_prefix: list[int] = field(default_factory=list)
    problem: str = ""
    where: int = 0
    switch: bool = False
    runs_out: bool = False

    def refuse(self, address: int, problem: str) -> None:
        """The first problem stands."""
        if not self.problem:
            self.problem, self.where = problem, address


@dataclass
class Judged:
    """Verdicts by index of the member's start, and starts of functions that turn out to be fragments."""

    verdicts: dict[int, Verdict]
    fragments: set[int]
    leads: list[tuple[int, int]]
    """(index of an indirect jump, index of code it may lead to)"""


def judge(image: Image, unit: Unit, starts: frozenset[int]) -> Judged:
    """Track *unit* and judge its members; *starts* are all functions' starts and entries."""
    track = _solve(image, unit)
    judged = Judged({place.low: Verdict(place) for place in unit.places}, set(), _leads(track))
    for node, index in enumerate(unit.events):
        verdict = judged.verdicts[unit.places[unit.owner[node]].low]
        _event(track, node, index, verdict, starts, judged.fragments)
    for node, (place, state) in track.falls.items():
        _fall(track, node, state, judged.verdicts[place.low])
    return judged


def _leads(track: Track) -> list[tuple[int, int]]:
    unit = track.unit
    goals = track.leaders + track.orphans()
    return [(i, goal) for i in unit.events if unit.scan.flows[i] == Flow.INDIRECT for goal in goals]


def _solve(image: Image, unit: Unit) -> Track:
    track = Track(unit, Origins(image, unit), image.arch.call_pushes)
    for place in unit.places:
        if place.function.start not in unit.fragments:
            track.seed(place.low, (0, None, True))
    track.flow()
    while orphans := track.orphans():
        fresh = _tables(track, bool(orphans))
        track.tables |= fresh
        if not track.tables:
            break
        track.leaders += orphans
        for node in track.tables:
            for leader in orphans:
                track.origins.leaders.setdefault(leader, []).append(unit.events[node])
        track.pending += track.tables
        track.flow()
    track.tables |= _tables(track, orphans=False)
    return track


def _tables(track: Track, orphans: bool) -> set[int]:
    """Reached indirect jumps that are jump tables: the frame is up, or the address was computed."""
    found = set()
    scan = track.unit.scan
    for node, index in enumerate(track.unit.events):
        state = track.before[node]
        if state is None or scan.flows[index] != Flow.INDIRECT:
            continue
        if _frame_up(state) or (orphans and state[0] == 0 and _computed(track, index)):
            found.add(node)
    return found


def _frame_up(state: State) -> bool:
    """Whether the function's frame is certainly up: SP below its entry value, or (where that is not known, as after
    alloca) FP still the function's own and not its caller's."""
    sp, fp, _ = state
    return fp is not None if sp is None else sp < 0 or sp > ALIGNED // 2


def _made(track: Track, index: int) -> frozenset[Origin]:
    register = track.unit.scan.branch_register[index]
    return frozenset() if register is None else track.origins.of(index, register)


def _computed(track: Track, index: int) -> bool:
    made = _made(track, index)
    return bool(made) and all(origin.made is Made.SUM for origin in made)


def _event(track: Track, node: int, index: int, verdict: Verdict, starts: frozenset[int], fragments: set[int]) -> None:
    scan = track.unit.scan
    address, kind, state = scan.addresses[index], Flow(scan.flows[index]), track.before[node]
    goal = track.unit.goals[node]
    if node in track.switches:
        verdict.switch = True
        verdict.refuse(address, "switches stacks: loads SP from memory or a register that held no SP")
    elif kind in {Flow.RETURN, Flow.INDIRECT} and state is not None and _computed_sp(track, node):
        verdict.switch = True
        verdict.refuse(address, "unwinds: leaves with SP at a computed value")
    if kind in _DIRECT and goal is not None:
        home = track.unit.places[track.unit.owner[node]]
        if goal - 1 in scan.prefixes:
            verdict.over_prefix.append(address)
        if home.low <= goal <= home.entry and state is not None:
            verdict.to_entry.append(address)
        elif not home.low <= goal < home.high:
            verdict.into.append((address, scan.addresses[goal]))
    elif kind in _DIRECT or kind in _LEAVING:
        if state is None and kind is Flow.RETURN:
            verdict.exits.append(_returning(track, index))  # dead, or reached by means that must leave it a return
        elif state is None:
            verdict.refuse(address, "no path of the flow analysis reaches this exit")
        elif kind in _DIRECT:
            _direct(track, index, kind, state, verdict, starts, fragments)
        elif kind is Flow.RETURN:
            _return(track, index, state, verdict)
        elif kind is Flow.INDIRECT:
            _indirect(track, node, index, state, verdict)
        else:
            verdict.refuse(address, "returns from an exception or interrupt")
    elif kind in {Flow.BAD, Flow.DATA} and state is not None and not _after_call(track, node):
        verdict.refuse(address, "control runs into undecodable bytes" if kind is Flow.BAD else "control runs into data")
    if state is not None and state[0] is not None and 0 < state[0] < ALIGNED // 2:
        verdict.refuse(address, "moves the stack pointer above its value at entry")


def _computed_sp(track: Track, node: int) -> bool:
    """Whether SP gets a computed value on the straight way to *node*, and nothing else afterwards but constants."""
    unit = track.unit
    state = track.before[node]
    if state is None or state[0] is not None or node in track.tables:
        return False
    for back in range(node - 1, -1, -1):
        index = unit.events[back]
        if unit.owner[back] != unit.owner[node] or unit.scan.flows[index] != Flow.NONE:
            return False
        if any(op[0] in _COMPUTES for op in unit.scan.effects.get(index, ())):
            return True
    return False


def _after_call(track: Track, node: int) -> bool:
    """Whether only a call comes before *node*: one that does not return, then."""
    unit = track.unit
    return node > 0 and unit.owner[node - 1] == unit.owner[node] and _calls(unit, unit.events[node - 1])


def _calls(unit: Unit, index: int) -> bool:
    return unit.scan.flows[index] in {Flow.CALL, Flow.CALL_INDIRECT}


def _frame_problem(state: State, what: str) -> str:
    if state[0] is None:
        return f"the stack pointer is not known to be back at its entry value at this {what}"
    if state[0]:
        return f"the stack pointer is not back at its entry value at this {what}"
    return "" if state[2] else f"the return address is not known to be in its place at this {what}"


def _direct(
    track: Track,
    index: int,
    kind: Flow,
    state: State,
    verdict: Verdict,
    starts: frozenset[int],
    fragments: set[int],
) -> None:
    scan = track.unit.scan
    address, target = scan.addresses[index], int(scan.target[index])
    if state[0] and target in starts:
        fragments.add(target)
        verdict.refuse(address, "jumps with its frame up into another function")
        return
    problem = _frame_problem(state, "tail call")
    if kind is Flow.SHORT:
        problem = problem or "leaves the function by a loop instruction, which reaches 127 bytes only"
    if problem:
        verdict.refuse(address, problem)
        return
    keeps = _names(scan.bits, int(scan.reads[index]))
    verdict.exits.append(Exit(address, int(scan.size[index]), _DIRECT[kind], None, target, keeps))


def _names(bits: dict[str, int], mask: int) -> tuple[str, ...]:
    return tuple(name for name, bit in bits.items() if bit & mask)


def _return(track: Track, index: int, state: State, verdict: Verdict) -> None:
    scan = track.unit.scan
    lr = track.origins.image.arch.lr
    register = scan.branch_register.get(index) if lr is not None else None
    if register not in {None, lr}:
        assert register is not None
        state = (state[0], state[1], track.holds_return(index, register))
    problem = _frame_problem(state, "return")
    if problem:
        verdict.refuse(scan.addresses[index], problem)
        return
    verdict.exits.append(_returning(track, index))


def _returning(track: Track, index: int) -> Exit:
    scan = track.unit.scan
    register = scan.branch_register.get(index)
    signed = index in scan.authenticated
    return Exit(scan.addresses[index], int(scan.size[index]), ExitKind.RETURN, register, authenticates=signed)


def _indirect(track: Track, node: int, index: int, state: State, verdict: Verdict) -> None:
    scan = track.unit.scan
    address = scan.addresses[index]
    if node in track.tables:
        verdict.tables.append(address)
        return
    problem = _frame_problem(state, "indirect jump")
    register = scan.branch_register[index]
    if not problem and register is not None:
        pointers = _POINTERS | {Made.SUM} if _torn_down(track, node) else _POINTERS
        made = _made(track, index)
        if not made or not all(origin.made in pointers for origin in made):
            problem = "whether this indirect jump is a jump table or a tail call cannot be told"
    if not problem and track.orphans():
        problem = "whether this indirect jump is a tail call or leads to code nothing else reaches cannot be told"
    if problem:
        verdict.refuse(address, problem)
        return
    keeps = _names(scan.bits, int(scan.reads[index]))
    verdict.exits.append(Exit(address, int(scan.size[index]), ExitKind.TAIL_INDIRECT, register, None, keeps))


def _torn_down(track: Track, node: int) -> bool:
    """Whether the frame comes down on the straight way to *node*: no jump table follows an epilogue."""
    unit = track.unit
    for back in range(node - 1, -1, -1):
        index = unit.events[back]
        if unit.owner[back] != unit.owner[node] or unit.scan.flows[index] != Flow.NONE:
            return False
        before, after = track.before[back], track.before[back + 1]
        if before and after and before[0] != 0 and after[0] == 0:
            return True
    return False


def _fall(track: Track, node: int, state: State, verdict: Verdict) -> None:
    """Control runs out of the function's end after *node*."""
    unit = track.unit
    if node >= 0 and _calls(unit, unit.events[node]):
        return
    verdict.runs_out = True
    verdict.refuse(verdict.place.function.end, "falls through into whatever follows it")
