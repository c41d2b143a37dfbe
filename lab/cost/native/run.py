"""A native measurement from names to rows: built, pinned, measured, and judged by repeating where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.arch import arch_by_name
from lab.cost.native.measure import Case, NativeRow, Progress, Trust, cases, measure, native_arch, trust
from lab.cost.native.perf import counters, unavailable
from lab.cost.native.text import where
from lab.cost.native.timing import pinned
from lab.errors import InputError


@dataclass(frozen=True)
class Native:
    """What was measured and how; ``said``: remarks on the machine."""

    rows: list[NativeRow]
    todo: list[Case]
    said: list[str]
    trusted: Trust | None


@dataclass(frozen=True)
class Wanted:
    """Names (none: all that there are), samples of each variant, and ``runs`` > 0: everything measured twice, and every
    base against itself that often."""

    arches: Sequence[str]
    programs: Sequence[str]
    proposals: Sequence[str]
    samples: int
    runs: int = 0


def run_native(wanted: Wanted, show: Progress) -> Native:
    """Build, time, compare.  InputError (exit 2) where only architectures are named that this machine is not."""
    arch, samples = native_arch(), wanted.samples
    asked = [arch_by_name(name).name for name in wanted.arches]
    if asked and arch.name not in asked:
        raise InputError(f"native time: this machine is {arch.name}; {', '.join(asked)} has to be measured on its own")
    todo = cases(arch, wanted.proposals, wanted.programs)
    if not any(len(case.variants) > 1 for case in todo):
        raise InputError(
            *dict.fromkeys(f"native {name}: {why}" for case in todo for name, why in case.left_out.items())
        )
    trusted = None
    with pinned() as processor:
        if wanted.runs:
            trusted, rows = trust(todo, arch, samples, wanted.runs, show)
        else:
            rows = measure(todo, arch, samples, 1, show)
        said = [*where(processor, unavailable()), *_counted(todo)]
    return Native(rows, todo, said, trusted)


def _counted(todo: Sequence[Case]) -> list[str]:
    """Counters of one execution of each program and variant, where there are any."""
    if unavailable():
        return []
    return [
        f"{case.program} {variant.name}: " + ", ".join(f"{n} {e}" for e, n in counters(variant.command).counts.items())
        for case in todo
        for variant in case.variants
    ]
