"""judge(trace, truth): exact, refused, missing, extra or crash; and ``covers`` beside it.

The return contract is the kernel's: reliable means that every function the task may return to is listed.
The first that applies: crash, refused, exact (R = T), extra (T is a subsequence of R), missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from lab.unwind.host import Ending, Trace


class Verdict(Enum):
    """Closed: these five sum to the stops."""

    EXACT = "exact"
    REFUSED = "refused"
    MISSING = "missing"
    EXTRA = "extra"
    CRASH = "crash"


class Doubt(Enum):
    """Whether a refusal was needed.  NEEDLESS refusals are false doubt."""

    NONE = ""
    NEEDLESS = "needless"
    JUSTIFIED = "justified"
    UNDETERMINED = "undetermined"


class Judgement(NamedTuple):
    """The verdict at one stop.  ``reason``: the refusal's or crash's text, "" otherwise."""

    verdict: Verdict
    reason: str
    doubt: Doubt
    covers: bool


def judge(
    trace: Trace,
    truth: Sequence[int],
    *,
    go_on: Callable[[], Trace],
    covered: Callable[[Sequence[int]], bool],
) -> Judgement:
    """The judgement of *trace* against the live return addresses *truth* (innermost first, without the pc).

    *go_on* repeats the walk with this refusal ignored; *covered* tells whether the reported addresses (with
    the pc) name every live function as live patching maps them.
    """
    match trace.ending:
        case Ending.CRASH:
            return Judgement(Verdict.CRASH, trace.detail, Doubt.NONE, covers=False)
        case Ending.REFUSED:
            return Judgement(Verdict.REFUSED, trace.detail, _doubt(trace, truth, go_on), covers=False)
        case Ending.END:
            return Judgement(compare(trace.addresses, truth), "", Doubt.NONE, covers=covered(trace.addresses))


def compare(reported: Sequence[int], truth: Sequence[int]) -> Verdict:
    """EXACT, EXTRA or MISSING for a trace that was claimed as reliable."""
    if tuple(reported) == tuple(truth):
        return Verdict.EXACT
    remaining = iter(reported)
    if all(any(address == candidate for candidate in remaining) for address in truth):
        return Verdict.EXTRA
    return Verdict.MISSING


def _doubt(trace: Trace, truth: Sequence[int], go_on: Callable[[], Trace]) -> Doubt:
    """NEEDLESS if the walk with the refusal ignored is exact, JUSTIFIED if it is not, else UNDETERMINED."""
    if trace.resume is None:
        return Doubt.UNDETERMINED
    ignored = go_on()
    if ignored.ending is not Ending.END:
        return Doubt.UNDETERMINED
    return Doubt.NEEDLESS if tuple(ignored.addresses) == tuple(truth) else Doubt.JUSTIFIED
