"""A body laid out but not placed, and what it is made with."""

from __future__ import annotations

from dataclasses import dataclass, field

from rewriters.census import Body
from rewriters.insertion.items import Item
from rewriters.insertion.references import Entry
from rewriters.sequences import Sequence


class Stays(Exception):  # noqa: N818 - no error: an answer
    """The function is not copied: the reason in words, and the ``address`` it was found at."""

    def __init__(self, address: int, reason: str) -> None:
        super().__init__(reason)
        self.address, self.reason = address, reason


@dataclass(frozen=True)
class Fill:
    """The two sequences; whether the image uses branch-target identification (AArch64); ``named``: addresses of
    instructions that yield a function's address, and so are not plain."""

    push: Sequence
    pop: Sequence
    bti: bool
    named: frozenset[int] = frozenset()


@dataclass
class Laid:
    """A body without an address.  ``offsets``: label -> bytes from its start; ``entry``: where a jump to the
    function's ``body.entry`` goes from outside, bytes from the start."""

    body: Body
    items: list[Item]
    kept: bool
    late: bool
    pad: bytes
    entry: int = 0
    tables: tuple[Entry, ...] = ()
    size: int = 0
    offsets: dict[int, int] = field(default_factory=dict)

    def lay(self) -> Laid:
        """Fill in the offsets."""
        for item in self.items:
            if item.label is not None:
                self.offsets.setdefault(item.label, self.size)
            self.size += item.size
        return self
