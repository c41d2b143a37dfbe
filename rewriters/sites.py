"""A Site: a place the compiler left for us, and what belongs there."""

from __future__ import annotations

import bisect
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.images.flow import code_pieces
from lab.images.image import Function, Image
from lab.layout import SiteOut


class Action(enum.Enum):
    """What the code at a site does to the shadow stack."""

    PUSH = "push"
    POP = "pop"


class Ending(enum.Enum):
    """How control leaves a site."""

    NEXT = "next"  # on to the instruction after it
    RETURN = "return"  # the site's own return instruction, which moves behind our code


@dataclass(frozen=True, slots=True)
class Site:
    """[address, address + size) may be overwritten.  ``inert``: as compiled it does nothing and may stay if there
    is nothing to do; a PAC instruction is not inert (signing without authenticating would break the return)."""

    address: int
    size: int
    action: Action
    ending: Ending
    inert: bool

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass
class Found:
    """All sites of an image by function start; what was left out while looking; scores and counts for the census."""

    sites: dict[int, list[Site]] = field(default_factory=dict)
    left_out: list[SiteOut] = field(default_factory=list)
    refused: dict[int, SiteOut] = field(default_factory=dict)
    """Functions (by start) with a reason not to touch any of their sites."""
    scan: dict[str, Any] = field(default_factory=dict)
    total: int = 0

    def add(self, image: Image, site: Site) -> Function | None:
        """Give *site* to its function; leave it out where no function holds all of it."""
        self.total += 1
        function = image.function_at(site.address)
        if function is None or site.end > function.end:
            self.left_out.append(SiteOut("", site.address, "the site lies in no function"))
            return None
        self.sites.setdefault(function.start, []).append(site)
        return function

    def refuse(self, function: Function, reason: str, address: int | None = None) -> None:
        """Leave all of *function* out; the first reason stands."""
        where = function.start if address is None else address
        self.refused.setdefault(function.start, SiteOut(function.name, where, reason))


def executable_sections(image: Image) -> list[tuple[int, bytes]]:
    """(address, bytes) of every executable section; of whole executable segments where there are no sections."""
    sections = [(s.address, s.data) for s in image.sections if s.executable and s.data]
    if sections:
        return sections
    return [(g.address, g.data) for g in image.segments if g.flags & 1 and g.data]


class Ranges:
    """A set of addresses given as [start, end) ranges in any order, asked by bisection."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._joined: list[tuple[int, int]] = []
        for start, end in sorted(ranges):
            if self._joined and self._joined[-1][1] >= start:
                self._joined[-1] = (self._joined[-1][0], max(self._joined[-1][1], end))
            else:
                self._joined.append((start, end))

    def __contains__(self, address: int) -> bool:
        return self.covers(address, address + 1)

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) is inside."""
        index = bisect.bisect_right(self._joined, start, key=lambda piece: piece[0]) - 1
        return index >= 0 and end <= self._joined[index][1]


def words(image: Image) -> Iterable[tuple[int, int]]:
    """(address, 32-bit word) of executable sections outside data islands, for fixed-width instruction sets."""
    for start, column in word_columns(image):
        yield from zip(range(start, start + 4 * len(column), 4), column.tolist(), strict=True)


def word_columns(image: Image) -> Iterable[tuple[int, NDArray[np.uint32]]]:
    """The same in one piece per run of code: (address of the first word, the words)."""
    for base, data in executable_sections(image):
        for start, end in code_pieces(image, base, base + len(data)):
            yield start, np.frombuffer(data, dtype="<u4", count=(end - start) // 4, offset=start - base)
