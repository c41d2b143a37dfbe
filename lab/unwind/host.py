"""Runs an unwinder and keeps it honest: loops end, exceptions become crashes, memory is checked, truth is hidden."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from lab.lowering.plain import LOOP_BUDGET, LoopBudgetSpent, plain_forms
from lab.lowering.source import NotLowerable
from lab.unwind.api import (
    END,
    FRAME,
    GOES_ON,
    MASK64,
    Cursor,
    Reason,
    Regs,
    Unwinder,
    after_call,
    is_text,
    load64,
    rule,
    rule_word,
    stack_end,
    stack_of,
    where,
    where_offset,
)
from lab.unwind.reader import Fault, Reader
from lab.unwind.watchdog import WalkHung

STEP_BUDGET = 4096
_KNOWN = frozenset(int(reason) for reason in Reason)


_OWN = (load64, where, where_offset, rule, rule_word, is_text, after_call, stack_of, stack_end)
PRIMITIVES: frozenset[FunctionType] = frozenset(_OWN)  # type: ignore[arg-type]
"""What every engine has its own of; everything else that a step calls is rewritten with it."""


class Crash(Enum):
    """The crashes that every engine can meet; an exception's text is a crash of its own."""

    OUTSIDE = "read outside memory"
    STEPS = f"no end after {STEP_BUDGET} steps"
    LOOPS = f"the loops of one step did not end within {LOOP_BUDGET} rounds; not called again"


class Ending(Enum):
    """How a walk ended."""

    END = "end"
    REFUSED = "refused"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Trace:
    """What an unwinder reported: return addresses innermost first, without the stop's own pc.

    ``detail`` says why it refused or crashed.  ``resume`` is the cursor from which the same walk goes on as
    if the refusal had not been made; None where it cannot.  ``fault`` is the address outside memory that was read.
    """

    ending: Ending
    addresses: tuple[int, ...]
    detail: str = ""
    resume: Cursor | None = None
    reason: Reason | None = None
    fault: int | None = None


def walk(unwinder: Unwinder, mode: int, pc: int, regs: Regs, mem: Reader) -> Trace:
    """The trace *unwinder* reports at this stop."""
    return _watched(unwinder, mem, lambda: _walk(unwinder, mode, pc, regs, mem))


def walk_ignoring(unwinder: Unwinder, mem: Reader, refused: Trace) -> Trace:
    """The same walk with every refusal of the same reason ignored; ends early at another refusal."""
    return _watched(unwinder, mem, lambda: _walk_ignoring(unwinder, mem, refused))


def _watched(unwinder: Unwinder, mem: Reader, walk: Callable[[], Trace]) -> Trace:
    """*walk*(), which the watchdog may end; an unwinder that hung once is not called again."""
    if unwinder.name in mem.hung:
        return Trace(Ending.CRASH, (), mem.hung[unwinder.name])
    mem.walks += 1
    mem.walking = True
    try:
        return walk()
    except WalkHung as error:
        place = _place(error) or _file(unwinder)
        mem.hung[unwinder.name] = f"{place}: one step did not come back; not called again"
        return Trace(Ending.CRASH, (), mem.hung[unwinder.name])
    finally:
        mem.walking = False


def _walk(unwinder: Unwinder, mode: int, pc: int, regs: Regs, mem: Reader) -> Trace:
    mem.fault = Fault.NONE
    begin, _ = forms(unwinder)
    try:
        cursor = begin(mode, pc, regs)
    except LoopBudgetSpent:
        return _spent(unwinder, mem, ())
    except (Exception, SystemExit) as error:  # a plug-in may raise anything: that is the verdict, not the lab's failure
        return Trace(Ending.CRASH, (), _blame(unwinder, error))
    return _steps(unwinder, mem, cursor, [])


def _walk_ignoring(unwinder: Unwinder, mem: Reader, refused: Trace) -> Trace:
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
    return Trace(Ending.CRASH, tuple(addresses), crash_text(unwinder, Crash.STEPS))


def _steps(unwinder: Unwinder, mem: Reader, cursor: Cursor, found: list[int]) -> Trace:
    step, sound, view = forms(unwinder)[1], Fault.NONE, mem.view
    mem.fault = sound
    for _ in range(STEP_BUDGET):
        try:
            status, ra, cursor = step(view, cursor)
            if not isinstance(status, int):
                raise TypeError(f"status is {_kind(status)}, not an int")
            if min(cursor) < 0 or max(cursor) > MASK64:  # native integers wrap, Python's do not
                cursor = tuple([value & MASK64 for value in cursor])
        except LoopBudgetSpent:
            return _spent(unwinder, mem, tuple(found))
        except (Exception, SystemExit) as error:
            if mem.fault is sound:
                return Trace(Ending.CRASH, tuple(found), _blame(unwinder, error))
            status, ra = END, 0
        if mem.fault is not sound:
            if mem.fault is Fault.POISON:
                return Trace(Ending.REFUSED, tuple(found), "below_stack", None, Reason.BELOW_STACK)
            return Trace(Ending.CRASH, tuple(found), crash_text(unwinder, Crash.OUTSIDE), fault=mem.fault_address)
        if status == FRAME and unwinder.cap and len(found) == unwinder.cap:
            status = unwinder.cap_status
        if status == FRAME:
            if not isinstance(ra, int):
                return Trace(
                    Ending.CRASH, tuple(found), f"{_file(unwinder)}: return address is {_kind(ra)}, not an int"
                )
            found.append(ra & MASK64)
        elif status == END:
            return Trace(Ending.END, tuple(found))
        else:
            return _refusal(unwinder, status, cursor, found)
    return Trace(Ending.CRASH, tuple(found), crash_text(unwinder, Crash.STEPS))


def _spent(unwinder: Unwinder, mem: Reader, found: tuple[int, ...]) -> Trace:
    """The loops of one step did not end: a fact about the design, so it is not asked again in this execution."""
    mem.hung[unwinder.name] = crash_text(unwinder, Crash.LOOPS)
    return Trace(Ending.CRASH, found, mem.hung[unwinder.name])


def _refusal(unwinder: Unwinder, status: int, cursor: Cursor, found: list[int]) -> Trace:
    code = int(status) & ~GOES_ON
    if code not in _KNOWN:
        return Trace(Ending.CRASH, tuple(found), f"{_file(unwinder)}: unknown status {code & MASK64} from step")
    reason = Reason(code)
    resume = cursor if status & GOES_ON else None
    return Trace(Ending.REFUSED, tuple(found), reason.name.lower(), resume, reason)


def crash_text(unwinder: Unwinder, crash: Crash) -> str:
    """What a crash that every engine can meet is called in tables; it names no address, so equal crashes are counted
    together."""
    return f"{_file(unwinder)}: {crash.value}"


@cache
def _forms(start: Callable[..., Any], step: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any], str]:
    try:
        known = plain_forms(PRIMITIVES)
        return known.form(start), known.form(step), ""
    except NotLowerable as error:
        return start, step, str(error)


def forms(unwinder: Unwinder) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Start and step with 64-bit arithmetic and bounded loops; as they were written where they have no such form."""
    return _forms(unwinder.start, unwinder.step)[:2]


def _file(unwinder: Unwinder) -> str:
    return unwinder.origin or unwinder.name


def _kind(value: object) -> str:
    """The type's name: a value's own repr is a plug-in's code and may raise."""
    return f"a {type(value).__name__}"


def _place(error: BaseException, origin: str = "") -> str:
    """``file.py:12`` of the innermost frame; of the innermost one in the user's file *origin*, where there is one."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.name != "_look"]
    own = Path(origin).resolve() if origin else None
    frames = [f for f in frames if Path(f.filename) == own] or frames
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _blame(unwinder: Unwinder, error: BaseException) -> str:
    """``file.py:12: ValueError: text`` in one line."""
    place = _place(error, unwinder.origin) or _file(unwinder)
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(no text)"
    return f"{place}: {type(error).__name__}: {text}"[:300]
