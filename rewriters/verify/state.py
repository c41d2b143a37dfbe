"""What is known before an instruction of the new image: pushed or not, the link register, SP and FP."""

from __future__ import annotations

from typing import NamedTuple


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
