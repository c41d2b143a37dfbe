"""The three ways to judge a guest must say the same: native with memo, native without, and the reference engine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Execution, Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.tally import KeptStack, Tally
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import Limits, Machine
from lab.unwind.api import Unwinder

BOTH = ("boundary", "call")
MODE_NAMES = {0: "boundary", 1: "call"}

Prepare = Callable[[Machine], None]


@dataclass(frozen=True)
class Case:
    """One guest and how it is judged.  ``prepare`` changes a machine that is loaded and has not run."""

    image: Image
    rewrite: RewriteMap | None
    plan: Plan
    prepare: Prepare | None = None

    def reference(self) -> Execution:
        """What the reference engine says."""
        engine = ReferenceEngine(self.image, self.rewrite, self.plan)
        return self._run(engine)

    def native(self, *, memo: bool = True) -> Execution:
        """What the native engine says; NotCompiled where an unwinder has no native form: nothing falls back here."""
        plan = Plan(
            self.plan.unwinders, self.plan.modes, self.plan.limits, self.plan.stacks, self.plan.model, memo=memo
        )
        return self._run(NativeEngine(self.image, self.rewrite, plan))

    def _run(self, engine: ReferenceEngine | NativeEngine) -> Execution:
        if self.prepare is not None:
            self.prepare(engine.machine)
        return engine.run()


def case(
    image: Image,
    unwinders: Sequence[Unwinder],
    modes: tuple[str, ...] = BOTH,
    *,
    rewrite: RewriteMap | None = None,
    limits: Limits | None = None,
    stacks: int = 8,
    model: str = "kernel",
    prepare: Prepare | None = None,
) -> Case:
    """The case of *image* under *unwinders*."""
    plan = Plan(tuple(unwinders), modes, limits or Limits(200_000, 120), stacks, model)
    return Case(image, rewrite, plan, prepare)


def assert_agree(this: Case, *, status: int | None = 0) -> Execution:
    """All three say the same; the reference engine's execution, whose exit status is *status* (None: any end)."""
    expected = this.reference()
    assert status in {None, expected.outcome.status}, f"{this.image.path}: {expected.outcome}"
    for memo in (True, False):
        said = difference(this, expected, this.native(memo=memo))
        assert not said, f"native with{'' if memo else 'out'} memo: {said}"
    return expected


def difference(this: Case, expected: Execution, found: Execution) -> str:
    """What the first difference is, "" where there is none."""
    for name in ("outcome", "instructions", "calls"):
        one, other = getattr(expected, name), getattr(found, name)
        if one != other:
            return f"{this.image.path}: {name}: reference {one}, native {other}"
    return _of_tallies(this, expected.tallies, found.tallies) or _of_stacks(this, expected.stacks, found.stacks)


def _of_tallies(this: Case, expected: tuple[Tally, ...], found: tuple[Tally, ...]) -> str:
    if expected == found:
        return ""
    one, other = Counter(_counts(expected)), Counter(_counts(found))
    keys = sorted(key for key in one.keys() | other.keys() if one[key] != other[key])
    if not keys:
        return f"{this.image.path}: the same tallies in another order"
    pc, mode, unwinder = keys[0][:3]
    here = [key for key in keys if key[:3] == keys[0][:3]]
    lines = [f"  {key[3]}: reference {one[key]} stops, native {other[key]}" for key in here]
    place = f"{pc:#x} ({this.image.locate(pc)}), {this.plan.unwinders[unwinder].name}, {MODE_NAMES[mode]}"
    return "\n".join((f"{this.image.path}: {len(keys)} counts differ, first at {place}", *lines))


def _counts(tallies: tuple[Tally, ...]) -> dict[tuple[int, int, int, str], int]:
    return {(t.pc, t.mode, t.unwinder, f"{t.judgement} {t.dynamic}"): t.stops for t in tallies}


def _of_stacks(this: Case, expected: tuple[KeptStack, ...], found: tuple[KeptStack, ...]) -> str:
    for one, other in zip(expected, found, strict=False):
        if one != other:
            return f"{this.image.path}: kept stacks: reference {one}, native {other}"
    if len(expected) != len(found):
        return f"{this.image.path}: kept stacks: reference {len(expected)}, native {len(found)}"
    return ""


def in_turn(unwinders: Sequence[Unwinder], turn: int) -> tuple[Unwinder, ...]:
    """A sixth of *unwinders*, another one at each turn: the reference engine takes its time for each of them.

    ``UNWINDLAB_ALL=1`` in the environment asks for all of them every time."""
    if os.environ.get("UNWINDLAB_ALL") == "1":
        return tuple(unwinders)
    return tuple(unwinder for index, unwinder in enumerate(unwinders) if (index + turn) % 6 == 0)
