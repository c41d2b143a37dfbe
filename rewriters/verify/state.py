"""What is known before an instruction of the new image: pushed or not, the link register, SP and FP."""

from __future__ import annotations

from typing import NamedTuple

from lab.arch import Arch
from lab.arch.decode import Kind
from lab.images.frame import Frame, step
from rewriters.verify.facts import Fact, Reading


class State(NamedTuple):
    """Before an instruction: ``pushed`` (None: paths disagree); ``lr``: the link register holds the return address;
    SP and FP minus SP at entry (None: unknown)."""

    pushed: bool | None
    lr: bool
    sp: int | None
    fp: int | None

    def join(self, other: State) -> State:
        """What both paths agree on."""
        if self == other:
            return self
        return State(
            self.pushed if self.pushed == other.pushed else None,
            self.lr and other.lr,
            self.sp if self.sp == other.sp else None,
            self.fp if self.fp == other.fp else None,
        )


def popped(state: State) -> State:
    """*state* behind a pop: on the way out, where the link register and SP are as they were at entry."""
    return state._replace(pushed=False, lr=True, sp=0 if state.sp is None else state.sp)


ENTERED = State(pushed=False, lr=True, sp=0, fp=None)


def after(arch: Arch, reading: Reading, fact: Fact, state: State) -> State:
    """The state behind *fact*, which stood in *state*."""
    if fact.kind is Kind.CALL:
        return state._replace(lr=False)
    insn = reading.in_full(fact)
    if insn is None:
        return state
    frame = step(arch, insn, Frame(state.sp, state.fp))
    return State(state.pushed, state.lr and arch.lr not in insn.writes, frame.sp, frame.fp)
