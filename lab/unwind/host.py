"""Runs an unwinder and keeps it honest: loops end, exceptions become crashes, memory is checked, truth is hidden."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lab.unwind import patience
from lab.unwind.api import END, FRAME, GOES_ON, MASK64, Cursor, Reason, Regs, Unwinder
from lab.unwind.patience import NoAnswerError, gave_up, give_up
from lab.unwind.reader import Fault, Reader

STEP_BUDGET = 4096
_KNOWN = frozenset(int(reason) for reason in Reason)


class Ending(Enum):
    """How a walk ended."""

    END = "end"
    REFUSED = "refused"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Trace:
    """What an unwinder reported: return addresses innermost first, without the stop's own pc.

    ``detail`` says why it refused or crashed.  ``resume`` is the cursor from which the same walk goes on as
    if the refusal had not been made; None where it cannot.
    """

    ending: Ending
    addresses: tuple[int, ...]
    detail: str = ""
    resume: Cursor | None = None
    reason: Reason | None = None


def walk(unwinder: Unwinder, mode: int, pc: int, regs: Regs, mem: Reader) -> Trace:
    """The trace *unwinder* reports at this stop."""
    if unwinder.origin and gave_up(unwinder.origin):
        return Trace(Ending.CRASH, (), f"{unwinder.origin}: not asked again, for it gave no answer before")
    mem.fault = Fault.NONE
    try:
        cursor = unwinder.start(mode, pc, regs)
    except (Exception, SystemExit) as error:  # a plug-in may raise anything: that is the verdict, not the lab's failure
        return Trace(Ending.CRASH, (), _blame(unwinder, error))
    return _steps(unwinder, mem, cursor, [])


def walk_ignoring(unwinder: Unwinder, mem: Reader, refused: Trace) -> Trace:
    """The same walk with every refusal of the same reason ignored; ends early at another refusal."""
    addresses = list(refused.addresses)
    trace = refused
    for _ in range(STEP_BUDGET):
        if trace.resume is None or trace.reason is not refused.reason:
            return trace
        if len(addresses) > STEP_BUDGET:
            break
        trace = _steps(unwinder, mem, trace.resume, addresses)
        if trace.ending is not Ending.REFUSED:
            return trace
    return Trace(Ending.CRASH, tuple(addresses), _budget_text(unwinder))


def _steps(unwinder: Unwinder, mem: Reader, cursor: Cursor, found: list[int]) -> Trace:
    step, sound, view = unwinder.step, Fault.NONE, mem.view
    mem.fault = sound
    for _ in range(STEP_BUDGET):
        try:
            status, ra, cursor = step(view, cursor)
            if not isinstance(status, int):
                raise TypeError(f"status is {_kind(status)}, not an int")
            if min(cursor) < 0 or max(cursor) > MASK64:  # native integers wrap, Python's do not
                cursor = tuple([value & MASK64 for value in cursor])
        except (Exception, SystemExit) as error:
            if mem.fault is sound:
                return Trace(Ending.CRASH, tuple(found), _blame(unwinder, error))
            status, ra = END, 0
        if mem.fault is not sound:
            if mem.fault is Fault.POISON:
                return Trace(Ending.REFUSED, tuple(found), "below_stack", None, Reason.BELOW_STACK)
            return Trace(
                Ending.CRASH, tuple(found), f"{_file(unwinder)}: read outside memory at {mem.fault_address:#x}"
            )
        if status == FRAME:
            if type(ra) is not int:
                return Trace(
                    Ending.CRASH, tuple(found), f"{_file(unwinder)}: return address is {_kind(ra)}, not an int"
                )
            found.append(ra & MASK64)
        elif status == END:
            return Trace(Ending.END, tuple(found))
        else:
            return _refusal(unwinder, status, cursor, found)
    return Trace(Ending.CRASH, tuple(found), _budget_text(unwinder))


def _refusal(unwinder: Unwinder, status: int, cursor: Cursor, found: list[int]) -> Trace:
    code = int(status) & ~GOES_ON
    if code not in _KNOWN:
        return Trace(Ending.CRASH, tuple(found), f"{_file(unwinder)}: unknown status {code & MASK64} from step")
    reason = Reason(code)
    resume = cursor if status & GOES_ON else None
    return Trace(Ending.REFUSED, tuple(found), reason.name.lower(), resume, reason)


def _budget_text(unwinder: Unwinder) -> str:
    return f"{_file(unwinder)}: no end after {STEP_BUDGET} steps"


def _file(unwinder: Unwinder) -> str:
    return unwinder.origin or unwinder.name


def _kind(value: object) -> str:
    """The type's name: a value's own repr is a plug-in's code and may raise."""
    return f"a {type(value).__name__}"


def _blame(unwinder: Unwinder, error: BaseException) -> str:
    """``file.py:12: ValueError: text`` in one line; the place is the innermost outside this harness.

    An unwinder that gave no answer is given up.
    """
    if isinstance(error, NoAnswerError):
        give_up(unwinder.origin)
    harness = {__file__, patience.__file__}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in harness]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else _file(unwinder)
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(no text)"
    return f"{place}: {type(error).__name__}: {text}"[:300]
