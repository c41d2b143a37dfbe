"""For tests of your own: an image and an unwinder, and an assertion over every stop (docs/gates.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.engine.plan import Execution
    from lab.images.image import Image
    from lab.unwind.api import Unwinder

SHOWN = 5


@dataclass(frozen=True)
class Reliability:
    """What was found: stops in all modes, and how many of them got each verdict."""

    stops: int
    verdicts: dict[str, int]


def assert_reliable(
    image: str | Path,
    unwinder: str | Unwinder,
    *,
    modes: Sequence[str] = ("boundary",),
    max_missing: int = 0,
    max_extra: int | None = None,
    max_crash: int = 0,
    max_refused: int | None = None,
    max_instructions: int = 2_000_000,
    max_seconds: float = 120.0,
    engine: str = "native",
) -> Reliability:
    """Execute the freestanding ELF *image* and judge *unwinder* (a name, with rules or without; a ``.py`` file; or an
    Unwinder) at every stop of *modes*.

    AssertionError where more stops than allowed get a verdict (None: any number may), where none is judged, or where
    the program does not end with status 0: it names the first stacks that differ.  InputError for an image, a name or
    a mode that does not exist.  ``engine="reference"`` needs no compiling and suits images of some thousand
    instructions.
    """
    from lab.engine.plan import Plan
    from lab.engine.run import execute
    from lab.errors import InputError
    from lab.images.image import load_image
    from lab.machine.machine import End, Limits
    from lab.rewriting import find_map
    from lab.unwind.api import MODES

    if unknown := [mode for mode in modes if mode not in MODES]:
        raise InputError(f"unknown mode '{unknown[0]}'; known: {', '.join(MODES)}")
    loaded = load_image(Path(image))
    rewrite, design = find_map(loaded), _design(unwinder)
    if reason := design.unsupported(loaded.arch.name, rewrite is not None):
        raise InputError(f"{loaded.path}: {design.name}: {reason}")
    plan = Plan((design,), tuple(modes), Limits(max_instructions, max_seconds), stacks=SHOWN)
    execution = execute(loaded, rewrite, plan, engine)
    outcome = execution.outcome
    if outcome.end is not End.EXIT or outcome.status != 0:
        how = f"{outcome.end.value}, status {outcome.status} {outcome.detail}".rstrip()
        raise AssertionError(f"{loaded.path}: the program did not end well ({how}): its later stops are not judged")
    found = _count(execution)
    limits = {"missing": max_missing, "extra": max_extra, "crash": max_crash, "refused": max_refused}
    broken = [verdict for verdict, most in limits.items() if most is not None and found.verdicts[verdict] > most]
    if broken or not found.stops:
        counts = ", ".join(f"{found.verdicts[verdict]} {verdict} (at most {limits[verdict]})" for verdict in broken)
        lines = [f"{design.name} on {loaded.path}: of {found.stops} stops {counts or 'none was judged'}"]
        raise AssertionError("\n".join([*lines, *_stacks(loaded, execution, broken)]))
    return found


def _design(unwinder: str | Unwinder) -> Unwinder:
    from lab import registry

    return registry.unwinder(unwinder) if isinstance(unwinder, str) else unwinder


def _count(execution: Execution) -> Reliability:
    from lab.verdict import Verdict

    verdicts = {verdict.value: 0 for verdict in Verdict}
    for tally in execution.tallies:
        verdicts[tally.judgement.verdict.value] += tally.stops
    return Reliability(sum(verdicts.values()), verdicts)


def _stacks(image: Image, execution: Execution, broken: Sequence[str]) -> list[str]:
    """The first stacks that differ, true and reported."""
    lines = []
    for kept in [kept for kept in execution.stacks if kept.judgement.verdict.value in broken][:SHOWN]:
        lines.append(f"{kept.judgement.verdict.value} at {image.locate(kept.pc)} {kept.judgement.reason}".rstrip())
        lines.append(f"  true      {' <- '.join(map(image.locate, kept.truth)) or '(nothing)'}")
        lines.append(f"  reported  {' <- '.join(map(image.locate, kept.reported)) or '(nothing)'}")
    return lines
