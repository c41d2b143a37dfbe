"""What a reliability rule is made of.

A rule is plain functions over unsigned 64-bit integers, as an unwinder is, and it lowers as one does::

    begin(mode, pc, regs) -> words                          registers in, a fixed tuple of integers out
    before(mem, words) -> (said, words)                     asked before each step of the unwinder it wraps
    after(mem, words, status, ra) -> (status, words)        told what each step said; may say something else

``before`` says 0, or a Reason.  ``after`` gives back the status it was told, or END, or a Reason.  A rule
that refuses with GOES_ON returns words with which it would not refuse again for the same cause: the walk then
goes on with the step that was in doubt, and the lab sees whether the refusal was needless.

    recover(mem, words, ra, frame) -> (status, ra, words)   FRAME and what each return address stands for, or a Reason

``recover`` replaces addresses before ``after`` is told of them.  It is also told of which *frame* each is: the caller's
frame pointer on AArch64, on x86-64 the address of the return address; it goes with unwinders that say where they
have them (``Unwinder.resumes``).

``begin`` is one return of a tuple that is written out.  A rule knows nothing of the unwinder's cursor, so it
goes with every unwinder; what it must know about frames it reads itself (``lab.unwind.rules.chain``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.unwind.api import Cursor, Regs


def says_nothing(mem: Any, words: Cursor) -> tuple[int, Cursor]:
    """The ``before`` of a rule that has none."""
    return 0, words


def keeps(mem: Any, words: Cursor, status: int, ra: int) -> tuple[int, Cursor]:
    """The ``after`` of a rule that has none."""
    return status, words


Recover = Callable[[Any, Cursor, int, int], tuple[int, int, Cursor]]


@dataclass(frozen=True)
class Rule:
    """One rule.  ``needs_layout``: it asks the rewriter's layout, so the image must have a shadow stack;
    ``arches`` None means every architecture; ``tables``: the rule tables it looks up."""

    name: str
    title: str
    source: str
    begin: Callable[[int, int, Regs], Cursor]
    before: Callable[[Any, Cursor], tuple[int, Cursor]] = says_nothing
    after: Callable[[Any, Cursor, int, int], tuple[int, Cursor]] = keeps
    arches: frozenset[str] | None = None
    needs_layout: bool = False
    tables: tuple[int, ...] = ()
    recover: Recover | None = None
