"""New code described by old code: what the unwind information of each new address is made from.

A rewriter tells where new code stands and which old address each piece of it behaves like; the state there is the old
one, with what the new code itself has pushed on the stack added.

What it pushes at a way out of a function lies where registers were saved that have been popped by then.  clang's rows
on x86-64 still name those slots, which does no harm until somebody writes there: so behind a push such registers are
said to have their caller's values again, which they have where code obeys its ABI.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from lab.arch import Arch
from lab.errors import InputError, RefusedError
from lab.metadata.cfi import Fde, Frames
from lab.metadata.cfi_expression import registers_read
from lab.metadata.cfi_state import CfiState, How, Rule, StateRow

_GAP = 16  # padding between pieces of one function, in bytes, that one FDE may bridge: nothing executes there


@dataclass(frozen=True, slots=True)
class Span:
    """New code at [new_start, new_end).

    ``old_size`` 0: code of the rewriter's own, in the state before *old_address*.  Otherwise it is the old code
    [old_address, old_address + old_size), carried here: of equal size when carried unchanged (any number of
    instructions), of whatever size when it is one instruction, encoded anew.  ``pushed``: bytes the new code has
    pushed on the stack and not yet popped, all through the span.  ``authenticated``: the new code has authenticated the
    return address that the old code had signed there."""

    new_start: int
    new_end: int
    old_address: int
    pushed: int = 0
    old_size: int = 0
    authenticated: bool = False

    @property
    def linear(self) -> bool:
        """Byte for byte the same code: position k is old position k."""
        return self.old_size == self.new_end - self.new_start


@dataclass(frozen=True)
class Edits:
    """What a rewrite did to the code.  ``spans``: all new code that executes in some old function's frame;
    ``dead``: [start, end) of old bodies that no longer execute (their FDEs go; a jump left at an old entry that
    still executes wants a span of its own, with new_start = old_address)."""

    spans: tuple[Span, ...] = ()
    dead: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Group:
    """Adjacent spans whose old code one FDE describes: they get one new FDE."""

    fde: Fde
    spans: tuple[Span, ...]

    @property
    def start(self) -> int:
        return self.spans[0].new_start

    @property
    def end(self) -> int:
        return self.spans[-1].new_end


def groups(frames: Frames, spans: Iterable[Span]) -> list[Group]:
    """*spans* by the FDE that describes their old code, in order of new addresses.  Code without an FDE had no
    unwind information before and gets none.  RefusedError if spans overlap."""
    found: list[tuple[Fde, list[Span]]] = []
    reached = 0
    ordered = sorted(spans, key=lambda span: span.new_start)
    for left, right in pairwise(ordered):
        if left.new_end > right.new_start:
            raise RefusedError(f"{frames.where}: new code overlaps at {right.new_start:#x}")
    for span in ordered:
        for fde, piece in _split(frames, span):
            if piece.new_start < reached:
                raise RefusedError(f"{frames.where}: FDEs overlap at {piece.old_address:#x}; it must stay as it is")
            reached = piece.new_end
            last = found[-1] if found else None
            if last is not None and last[0] is fde and piece.new_start - last[1][-1].new_end < _GAP:
                last[1].append(piece)
            else:
                found.append((fde, [piece]))
    return [Group(fde, tuple(pieces)) for fde, pieces in found]


def _split(frames: Frames, span: Span) -> Iterator[tuple[Fde, Span]]:
    """*span* cut where another FDE begins; what no FDE covers is left out."""
    fde = frames.at(span.old_address)
    if fde is not None and (not span.linear or span.old_address + span.old_size <= fde.end):
        yield fde, span
        return
    if not span.linear:
        return
    stop = span.old_address + span.old_size
    move = span.new_start - span.old_address
    for fde in frames.within(span.old_address, stop):
        low, high = max(fde.start, span.old_address), min(fde.end, stop)
        yield fde, replace(span, new_start=low + move, new_end=high + move, old_address=low, old_size=high - low)


class States:
    """The states of old code, remembered, and what they become in new code."""

    def __init__(self, frames: Frames, arch: Arch) -> None:
        self.frames = frames
        self.where = frames.where
        self.stack = arch.gprs.index(arch.sp)
        self._used: dict[int, tuple[CfiState, frozenset[int]]] = {}  # the state keeps its identity alive
        self.counter = len(arch.gprs)  # the DWARF number of the program counter: 16 on x86-64, 32 on AArch64

    def rows(self, group: Group) -> list[tuple[int, CfiState]]:
        """(new address, state from there on) of *group*, from its start; neighbours differ.

        RefusedError, naming the function's address, where a state cannot be described in new code."""
        found: list[tuple[int, CfiState]] = []
        written = -1  # old address at which something has been pushed below SP
        for span in group.spans:
            written = span.old_address if span.pushed else written
            for at, old in self._of(group.fde, span):
                behind = span.pushed or (span.old_address == written and at == span.new_start)
                state = self._without_dead_slots(old) if behind else old
                moved = self.adjusted(state, span, group.fde)
                if not found or found[-1][1] != moved:
                    found.append((at, moved))
        return found

    def _of(self, fde: Fde, span: Span) -> Iterator[tuple[int, CfiState]]:
        starts, table = self._table(fde)
        index = bisect.bisect_right(starts, span.old_address) - 1
        yield span.new_start, table[index].state
        if span.linear:
            stop, move = span.old_address + span.old_size, span.new_start - span.old_address
            for row in table[index + 1 :]:
                if row.start >= stop:
                    return
                yield row.start + move, row.state

    def _without_dead_slots(self, state: CfiState) -> CfiState:
        """*state*, in which no register is saved below SP any more."""
        cfa = state.cfa
        if cfa.expression is not None or cfa.register != self.stack:
            return state
        dead = [r for r, rule in state.registers.items() if rule.how is How.OFFSET and rule.value < -cfa.offset]
        if not dead:
            return state
        return replace(state, registers={**state.registers, **dict.fromkeys(dead, Rule(How.SAME))})

    def table(self, fde: Fde) -> list[StateRow]:
        """The rows of *fde*.  RefusedError if they cannot be read."""
        return self._table(fde)[1]

    def _table(self, fde: Fde) -> tuple[list[int], list[StateRow]]:
        try:
            return self.frames.table(fde)
        except InputError as error:
            raise RefusedError(f"{error}; the function at {fde.start:#x} must stay as it is") from None

    def adjusted(self, state: CfiState, span: Span, fde: Fde) -> CfiState:
        """*state* with what *span* has pushed; expressions must not depend on what has changed."""
        pushed = span.pushed
        used = self._read(state, fde)
        if used and (pushed or span.new_start != span.old_address):
            self._independent(used, span, fde)
        if span.authenticated:
            state = CfiState(state.cfa, state.registers, signed=False, args_size=state.args_size)
        if not pushed:
            return state
        cfa = state.cfa
        if cfa.register == self.stack and cfa.expression is None:
            cfa = cfa._replace(offset=cfa.offset + pushed)
        # A landing pad expects the stack without it, as it does without outgoing arguments.
        args_size = state.args_size + (pushed if fde.lsda else 0)
        return CfiState(cfa, state.registers, state.signed, args_size)

    def _read(self, state: CfiState, fde: Fde) -> frozenset[int]:
        """Registers whose present value *state* is computed from, the CFA's own apart; remembered by identity."""
        known = self._used.get(id(state))
        if known is not None:
            return known[1]
        expressions = [] if state.cfa.expression is None else [state.cfa.expression]
        found = set()
        for rule in state.registers.values():
            if rule.expression:
                expressions.append(rule.expression)
            elif rule.how is How.REGISTER:
                found.add(rule.value)
        try:
            found.update(*(registers_read(expression, self.where) for expression in expressions))
        except InputError as error:
            raise RefusedError(f"{error}; the function at {fde.start:#x} must stay as it is") from None
        self._used[id(state)] = (state, frozenset(found))
        return self._used[id(state)][1]

    def _independent(self, used: frozenset[int], span: Span, fde: Fde) -> None:
        """RefusedError if a register that *span* changes is among those *used*."""
        what = ""
        if span.pushed and self.stack in used:
            what = "stack pointer"
        elif span.new_start != span.old_address and self.counter in used:
            what = "program counter"
        if what:
            raise RefusedError(
                f"{self.where}: the unwind information of the function at {fde.start:#x} is computed from the {what}, "
                "which is another in new code; it must stay as it is"
            )


class Places:
    """Where carried old code stands now."""

    def __init__(self, edits: Edits) -> None:
        self._carried = sorted((span for span in edits.spans if span.old_size), key=lambda span: span.old_address)
        self._starts = [span.old_address for span in self._carried]
        self._dead = sorted(edits.dead)
        self._dead_starts = [start for start, _ in self._dead]

    def new(self, old: int) -> int | None:
        """The new address of the instruction at *old*; None if it was not carried."""
        index = bisect.bisect_right(self._starts, old) - 1
        if index < 0:
            return None
        span = self._carried[index]
        if span.linear and old < span.old_address + span.old_size:
            return span.new_start + old - span.old_address
        return span.new_start if old == span.old_address else None

    def dead(self, start: int, end: int) -> bool:
        """The old code [start, end) no longer executes, all of it."""
        index = bisect.bisect_right(self._dead_starts, start) - 1
        return index >= 0 and end <= self._dead[index][1]

    def stands(self, pad: int, what: str) -> int:
        """Where to land instead of at *pad* (0: nowhere).  RefusedError naming *what* if it is neither carried nor
        still in place."""
        if not self.dead(pad, pad + 1):
            return pad
        found = self.new(pad)
        if found is None:
            raise RefusedError(f"{what}: its landing pad {pad:#x} was not carried")
        return found
