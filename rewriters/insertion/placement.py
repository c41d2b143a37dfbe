"""Where push and pops go in one function: at its entry and exits, or only on the paths that need them.

A compiler may build the frame on some paths only (shrink-wrapping): where the return address never leaves the link
register there is nothing to protect.  So the push goes before the frame is built and the pop behind its end, if on
every path what is pushed is popped once, and every call is made with the entry pushed.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.arch.decode import ENDS_FLOW, Insn, Kind
from lab.images.flow import Code, Graph, Solution, solve
from lab.images.frame import Frame, step
from lab.images.liveness import frames, liveness
from lab.layout import Where
from rewriters.census import Body, ExitKind
from rewriters.insertion.items import SHADOW, Answer, away
from rewriters.pairing import State
from rewriters.sequences import Sequence

_SIGNS = ("pac", "aut", "reta")
_STORES = ("stp", "str", "stur")
_FLOW = frozenset(ENDS_FLOW | {Kind.BRANCH, Kind.CALL})


@dataclass(frozen=True)
class Late:
    """``pushes``: addresses of instructions a push goes before -> scratch registers; ``pops``: of instructions a pop
    goes behind; ``answers``: where the return address is, by instruction address."""

    pushes: dict[int, tuple[str, ...]]
    pops: dict[int, tuple[str, ...]]
    answers: dict[int, Answer]


def late(body: Body, push: Sequence, pop: Sequence) -> Late | None:
    """A placement that skips paths without a frame, proved; None if there are no such paths, or no proof."""
    code = body.insns
    lr = code.arch.lr
    if lr is None or body.into or body.fragment or body.tables:
        return None
    if any(leave.kind is ExitKind.RETURN and leave.register != lr for leave in body.exits):
        return None
    graph = Graph(code)
    saves = {i for i, insn in enumerate(code.insns) if _saves(insn, lr)}
    if not saves or _always(graph, saves) or any(insn.mnemonic.startswith(_SIGNS) for insn in code.insns):
        return None
    flow = frames(graph)
    restores = {i for i, insn in enumerate(code.insns) if lr in insn.writes and insn.kind is Kind.OTHER}
    targets = {insn.target for insn in code.insns}
    pushes = {_before_frame(code, flow, i, targets) for i in saves}
    pops = {_behind_frame(code, flow, i, targets) for i in restores}
    if None in pushes or None in pops:
        return None
    wanted = {i for i in pushes if i is not None}, {i for i in pops if i is not None}
    walked = _walk(graph, *wanted)
    if walked is None:
        return None
    live = liveness(graph, flow)
    free_push = {code.insns[i].address: live.free(i, body.scratch)[: push.scratch] for i in wanted[0]}
    free_pop = {code.insns[i].address: live.free(i + 1, body.scratch)[: pop.scratch] for i in wanted[1]}
    if any(len(s) < push.scratch for s in free_push.values()) or any(len(s) < pop.scratch for s in free_pop.values()):
        return None
    answers = {insn.address: _answer(walked, code, i) for i, insn in enumerate(code.insns)}
    return Late(free_push, free_pop, answers)


def _saves(insn: Insn, lr: str) -> bool:
    data = insn.op_str.partition("[")[0]
    return insn.mnemonic in _STORES and lr in (part.strip() for part in data.split(","))


def _always(graph: Graph, saves: set[int]) -> bool:
    """Whether no way out avoids the instructions in *saves*."""
    seen, pending = {0}, [0]
    while pending:
        i = pending.pop()
        if i in saves:
            continue
        if graph.leaves(i) or graph.code.insns[i].kind is Kind.INDIRECT:
            return False
        fresh = [succ for succ in graph.successors[i] if succ not in seen]
        seen.update(fresh)
        pending.extend(fresh)
    return True


def _sp(flow: Solution[Frame], i: int) -> int | None:
    state = flow.before[i]
    return None if state is None else state.sp


def _before_frame(code: Code, flow: Solution[Frame], i: int, targets: set[int | None]) -> int | None:
    """The last place, in straight code up to instruction *i*, at which SP still has its entry value."""
    while _sp(flow, i) != 0:
        if i == 0 or code.insns[i].address in targets or code.insns[i - 1].kind in _FLOW:
            return None
        i -= 1
    return i


def _behind_frame(code: Code, flow: Solution[Frame], i: int, targets: set[int | None]) -> int | None:
    """The first instruction, in straight code from *i* on, that gives SP its entry value back."""
    arch = code.arch
    while i + 1 < len(code.insns):
        state = flow.before[i]
        if state is None or code.insns[i].kind in _FLOW:
            return None
        if step(arch, code.insns[i], state).sp == 0:
            return i
        i += 1
        if code.insns[i].address in targets:
            return None
    return None


def _walk(graph: Graph, pushes: set[int], pops: set[int]) -> Solution[State] | None:
    """The state before every instruction, if pushes and pops pair up on every path."""
    code = graph.code
    arch = code.arch
    wrong = False

    def transfer(i: int, state: State) -> State:
        nonlocal wrong
        insn = code.insns[i]
        pushed, lr = state.pushed, state.lr
        if i in pushes:
            wrong = wrong or pushed is not False or not lr or state.frame.sp != 0
            pushed = True
        if insn.kind is Kind.CALL:
            wrong = wrong or pushed is not True
        if graph.leaves(i) or insn.kind is Kind.INDIRECT:
            wrong = wrong or pushed is not False or not lr
        frame = step(arch, insn, state.frame)
        lr = lr and arch.lr not in insn.writes
        if i in pops:
            wrong = wrong or pushed is not True or frame.sp != 0
            pushed, lr = False, True
        return State(frame, pushed, lr)

    solution = solve(graph, State(Frame(), False, True), transfer, State.join, lambda state: state.frame.sp != 0)
    mixed = any(state is not None and state.pushed is None for state in solution.before)
    return None if wrong or mixed or solution.tables else solution


def _answer(walked: Solution[State], code: Code, i: int) -> Answer:
    state = walked.before[i]
    if state is None:
        return Answer(Where.UNKNOWN, 0, "no path of the flow analysis comes here")
    if state.pushed:
        return SHADOW
    return away(code.arch) if state.lr else Answer(Where.UNKNOWN, 0, "x30 was written and nothing is pushed")
