"""What a check found: on one image (``Part``), and on all images of one architecture (``Result``)."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class Status(enum.Enum):
    """Of one check on one architecture."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Part:
    """What one check found on one image.

    ``counts``: noun in the plural -> how many were compared.  ``problems``: one line each, empty where all is well.
    ``notes``: what was not compared, and why.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """One check on one architecture.  ``detail`` is one line with counts; ``seconds`` are those of all its images,
    which may have been checked side by side.
    """

    check: str
    arch: str
    status: Status
    detail: str
    seconds: float
    counts: Mapping[str, int]
    problems: tuple[str, ...] = ()


def add_up(check: str, arch: str, parts: Iterable[tuple[Part, float]]) -> Result:
    """The parts (each with its seconds) of one check on one architecture as one result.

    A check that compared nothing has not passed: it is SKIPPED where a note says why, else FAILED.
    """
    counts: Counter[str] = Counter()
    problems: list[str] = []
    notes: dict[str, None] = {}
    images, seconds = 0, 0.0
    for part, took in parts:
        images += 1
        seconds += took
        counts.update(part.counts)
        problems += part.problems
        notes.update(dict.fromkeys(part.notes))
    compared = any(counts.values())
    if not compared and not problems and not notes:
        problems.append(f"{arch} {check}: nothing was compared; this is a fault of the lab")
    status = Status.FAILED if problems else Status.PASSED if compared else Status.SKIPPED
    said = [_count(images, "images"), *(_count(number, noun) for noun, number in counts.items())]
    if status is Status.FAILED:
        said.append(_count(len(problems), "problems"))
    detail = "; ".join((", ".join(said), *notes))
    return Result(check, arch, status, detail, seconds, dict(counts), tuple(problems))


def _count(number: int, nouns: str) -> str:
    return f"{number} {nouns.removesuffix('s') if number == 1 else nouns}"
