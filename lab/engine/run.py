"""Runs a plan: natively, and in the reference engine what has no native form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lab.engine.native.compiling import NotCompiled, compiled_evaluator
from lab.engine.native.engine import MOST_UNWINDERS, NativeEngine
from lab.engine.native.engine import NAME as NATIVE
from lab.engine.native.events import NotNative
from lab.engine.native.tables import TooWideError
from lab.engine.plan import Execution, Plan, check_modes
from lab.engine.reference import NAME as REFERENCE
from lab.engine.reference import run_reference
from lab.errors import EngineError, InputError
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import End
from lab.unwind.api import Unwinder

ENGINES = (NATIVE, REFERENCE)


def execute(image: Image, rewrite: RewriteMap | None, plan: Plan, engine: str = NATIVE) -> Execution:
    """Execute *image* and judge every unwinder of *plan* at every stop.

    An unwinder without a native form is judged by the reference engine, in an execution of its own; ``notes``
    say which and why.  Both executions must retire the same instructions and calls: EngineError otherwise.
    """
    check_modes(plan)
    if engine == REFERENCE:
        return run_reference(image, rewrite, plan)
    reasons = {index: reason for index, reason in enumerate(map(not_native, plan.unwinders)) if reason}
    native = [index for index in range(len(plan.unwinders)) if index not in reasons]
    parts = [native[i : i + MOST_UNWINDERS] for i in range(0, len(native), MOST_UNWINDERS)] or [[]]
    executions: list[tuple[list[int], Execution]] = []
    for part in parts:
        while part or not reasons:
            try:
                executions.append((part, NativeEngine(image, rewrite, _only(plan, part)).run()))
                break
            except NotNative as error:  # again, without that one
                reasons[part.pop(error.index)] = str(error)
            except TooWideError as error:
                reasons |= dict.fromkeys(part, str(error))
                break
    reasons = dict(sorted(reasons.items()))
    notes = [f"{plan.unwinders[index].name}: reference engine: {reason}" for index, reason in reasons.items()]
    if reasons or not executions:
        executions.append((list(reasons), run_reference(image, rewrite, _only(plan, reasons))))
    _check_time(image, [execution for _, execution in executions], notes)
    return _merged(image, plan, executions, tuple(notes))


def _only(plan: Plan, indexes: Iterable[int]) -> Plan:
    """*plan* with some of its unwinders only."""
    return replace(plan, unwinders=tuple(plan.unwinders[index] for index in indexes))


def _check_time(image: Image, executions: list[Execution], notes: list[str]) -> None:
    """InputError where the reference engine, which is much slower, was stopped by the clock and the native was not."""
    stopped = [e for e in executions if e.outcome.end is End.BUDGET]
    if stopped and len({e.outcome.detail for e in executions}) > 1:
        mend = "use --size small, raise --max-seconds, or leave the unwinder out"
        raise InputError(f"{image.path}: {'; '.join(notes)}; stopped after {stopped[0].outcome.detail}: {mend}")


def not_native(unwinder: Unwinder) -> str:
    """Why *unwinder* has no native form; "" where it has one."""
    if unwinder.oracle:
        return ""
    try:
        compiled_evaluator(unwinder)
    except NotCompiled as error:
        return str(error)
    return ""


def _merged(
    image: Image, plan: Plan, executions: list[tuple[list[int], Execution]], notes: tuple[str, ...]
) -> Execution:
    """The executions of parts of one plan as one; *plan*'s own numbering of unwinders."""
    first = executions[0][1]
    engines = [""] * len(plan.unwinders)
    for indexes, execution in executions:
        if (execution.instructions, execution.calls, execution.outcome.result) != (
            first.instructions,
            first.calls,
            first.outcome.result,
        ):
            raise EngineError(f"{image.path}: two executions differ in what they retired; this is a fault of the lab")
        for index, engine in zip(indexes, execution.engines, strict=True):
            engines[index] = engine
    tallies = [replace(t, unwinder=indexes[t.unwinder]) for indexes, e in executions for t in e.tallies]
    stacks = [replace(k, unwinder=indexes[k.unwinder]) for indexes, e in executions for k in e.stacks]
    return Execution(
        first.outcome,
        first.instructions,
        first.calls,
        sum(execution.wall_s for _, execution in executions),
        tuple(sorted(tallies, key=lambda t: (t.mode, t.unwinder, t.pc))),
        tuple(sorted(stacks, key=lambda k: (k.mode, k.unwinder, k.stop))),
        tuple(engines),
        tuple(dict.fromkeys((*notes, *(note for _, execution in executions for note in execution.notes)))),
        first.injections,
        first.switches,
    )


__all__ = ["ENGINES", "NATIVE", "REFERENCE", "execute", "not_native"]
