"""Does every path through a function push once and pop once?  And where is its return address, per instruction?

A forward walk over the function's control flow, on the image as compiled.  A function whose sites do not pair
up on every path is left out whole: half a pair is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.arch.decode import Kind
from lab.images.flow import Code, Graph, Solution, decode_function, solve
from lab.images.frame import Frame, step
from lab.images.image import Function, Image
from lab.layout import Flavour, LayoutRow, Where
from rewriters.sites import Action, Site

NOT_INSTRUMENTED = "not instrumented"
_PERHAPS = "perhaps no part of the entry"

OUTERMOST_IN_KERNEL = frozenset({"ret_from_fork", "vector_irq_user", "vector_sync_user"})
"""Functions of the lab's kernel in which a stack begins."""


@dataclass(frozen=True, slots=True)
class State:
    """Before an instruction: ``pushed`` (None: paths disagree); ``lr``: the link register still holds, or holds
    again, the return address."""

    frame: Frame
    pushed: bool | None
    lr: bool

    def join(self, other: State) -> State:
        """What both paths agree on."""
        pushed = self.pushed if self.pushed == other.pushed else None
        return State(self.frame.join(other.frame), pushed, self.lr and other.lr)


@dataclass(frozen=True)
class Paired:
    """One function's walk.  ``problem``: why its sites do not pair up ("" = they do), and where."""

    graph: Graph
    sites: Mapping[int, Site]
    solution: Solution[State]
    problem: str
    problem_at: int

    def where(self, i: int) -> tuple[Where, int, str]:
        """(where, stack offset, reason) before instruction *i* of the function as compiled."""
        state = self.solution.before[i]
        if state is None:
            return Where.UNKNOWN, 0, "no path of the flow analysis comes here"
        return self.where_of(state)

    def where_of(self, state: State) -> tuple[Where, int, str]:
        """(where, stack offset, reason) in *state*."""
        if state.pushed:
            return Where.SHADOW, 0, ""
        if state.pushed is None:
            return Where.UNKNOWN, 0, "paths with and without a push meet here"
        if self.graph.code.arch.lr is None:
            if state.frame.sp is None:
                return Where.UNKNOWN, 0, "the stack pointer's distance from entry is unknown"
            return Where.STACK, -state.frame.sp, ""
        return (Where.LR, 0, "") if state.lr else (Where.UNKNOWN, 0, "x30 was written and nothing is pushed")


def walk(graph: Graph, sites: list[Site], flavour: Flavour) -> Paired:
    """Walk one function with its *sites* (none: an uninstrumented function)."""
    code = graph.code
    arch = code.arch
    by_address = {site.address: site for site in sites}

    def transfer(i: int, state: State) -> State:
        insn = code.insns[i]
        frame = step(arch, insn, state.frame)
        site = by_address.get(insn.address)
        if site is not None:
            popped = site.action is Action.POP
            return State(frame, not popped, popped or state.lr)
        return State(frame, state.pushed, state.lr and arch.lr not in insn.writes)

    def frame_up(state: State) -> bool:
        return state.pushed is not False or state.frame.sp != 0

    solution = solve(graph, State(Frame(), False, True), transfer, State.join, frame_up)
    problem, at = _problem(graph, by_address, solution, flavour) if sites else ("", 0)
    return Paired(graph, by_address, solution, problem, at)


def _problem(graph: Graph, sites: Mapping[int, Site], solution: Solution[State], flavour: Flavour) -> tuple[str, int]:
    """The first thing wrong, and its address; ("", 0) if nothing is."""
    code = graph.code
    for site in sites.values():
        if site.address not in code.index or solution.before[code.index[site.address]] is None:
            return "no path of the flow analysis reaches this site", site.address
    for i, insn in enumerate(code.insns):
        state = solution.before[i]
        if state is None:
            continue
        if state.pushed is None:
            return "paths with and without a push meet here", insn.address
        here = sites.get(insn.address)
        wrong = _wrong_site(graph, here, state, flavour) if here else _wrong_exit(graph, solution, i, state)
        if wrong:
            return wrong, insn.address
    return "", 0


def _wrong_site(graph: Graph, site: Site, state: State, flavour: Flavour) -> str:
    arch = graph.code.arch
    if site.action is Action.PUSH and state.pushed:
        return "the function would push twice here"
    if site.action is Action.POP and not state.pushed:
        return "the function would pop what it has not pushed here"
    if site.action is Action.PUSH and arch.lr is not None and not state.lr:
        return "x30 no longer holds the return address at the push"
    if (flavour is Flavour.PARALLEL or arch.lr is None) and state.frame.sp != 0:
        return "the stack pointer is not known to be back at its entry value at this site"
    return ""


def _wrong_exit(graph: Graph, solution: Solution[State], i: int, state: State) -> str:
    if not state.pushed:
        return ""
    insn = graph.code.insns[i]
    if insn.kind is Kind.RETURN:
        return "returns without a pop here"
    if graph.leaves(i) or solution.tail_jump(graph.code, i):
        return "jumps out of the function without a pop here"
    return ""


def plain_rows(image: Image, paired: Paired, start: int, end: int) -> list[LayoutRow]:
    """Rows for [start, end) of a function nobody instruments."""
    code = paired.graph.code
    kernel = image.symbols.get("lab_kernel_entry", 0), image.symbols.get("lab_kernel_text_end", 0)
    if kernel[0] <= start < kernel[1]:
        return _kernel_rows(code, start, end)
    if image.arch.lr is not None:
        leaf = not any(image.arch.lr in insn.writes or insn.kind is Kind.CALL for insn in code.insns)
        return [LayoutRow(start, end, Where.LR) if leaf else LayoutRow(start, end, Where.UNKNOWN, 0, NOT_INSTRUMENTED)]
    rows = []
    for i, insn in enumerate(code.insns):
        if start <= insn.address < end:
            where, offset, reason = paired.where(i)
            rows.append(LayoutRow(insn.address, min(insn.end, end), where, offset, reason))
    return rows


def _kernel_rows(code: Code, start: int, end: int) -> list[LayoutRow]:
    """Rows for entry code of the lab's kernel.  Where a task begins, and where user mode enters, nobody is returned to
    from the call on; before it SP may still be the user's."""
    calls = [insn.address for insn in code.insns if insn.kind is Kind.CALL and start <= insn.address < end]
    first = calls[0] if calls and code.function.name in OUTERMOST_IN_KERNEL else end
    before = [LayoutRow(start, first, Where.UNKNOWN, 0, "entry code of the lab's kernel")] if start < first else []
    return before + ([LayoutRow(first, end, Where.OUTERMOST)] if first < end else [])


def entry_rows(image: Image, function: Function, end: int) -> list[LayoutRow]:
    """Rows for [start, end) of the function that holds the program's entry: nobody is to be returned to.

    glibc's covers __wrap_main as well, which is called: with a symbol, this is said up to the next label; where only a
    frame description tells, of what comes before the first call."""
    if function.symbol:
        label = min((a for a in image.symbols.values() if image.entry < a < end), default=end)
        rows = [LayoutRow(function.start, label, Where.OUTERMOST)]
        return rows if label == end else [*rows, LayoutRow(label, end, Where.UNKNOWN, 0, _PERHAPS)]
    code = decode_function(image, function)
    graph = Graph(code)
    reached = {code.index[image.entry]} if image.entry in code.index else set()
    pending = list(reached)
    while pending:
        i = pending.pop()
        onward = () if code.insns[i].kind is Kind.CALL else graph.successors[i]
        pending.extend(following for following in onward if following not in reached)
        reached.update(onward)
    rows = []
    for i, insn in enumerate(code.insns):
        if insn.address < end:
            where, reason = (Where.OUTERMOST, "") if i in reached else (Where.UNKNOWN, _PERHAPS)
            rows.append(LayoutRow(insn.address, min(insn.end, end), where, 0, reason))
    return rows


def site_states(paired: Paired, site: Site) -> tuple[State, State]:
    """(state before the site, state after its effect)."""
    before = paired.solution.before[paired.graph.code.index[site.address]]
    assert before is not None, "a site that was not reached has no plan"
    return before, State(before.frame, site.action is Action.PUSH, before.lr or site.action is Action.POP)
