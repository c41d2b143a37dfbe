"""Time as a guest sees it: a fixed beginning, and a step at every look.  The host's clock has no part in it."""

from __future__ import annotations

BEGINNING_NS = 1_000_000_000 * 10**9  # 2001-09-09
STEP_NS = 10**6


class Clock:
    """One process's time in nanoseconds since 1970."""

    def __init__(self) -> None:
        self._now = BEGINNING_NS

    def look(self) -> int:
        """The time now; it goes on by a step."""
        self._now += STEP_NS
        return self._now

    def since_start(self) -> int:
        """The same, counted from the beginning: what monotonic and processor-time clocks show."""
        return self.look() - BEGINNING_NS

    def sleep(self, nanoseconds: int) -> None:
        """Time passes, at once."""
        self._now += min(max(nanoseconds, 0), 10**18)

    @property
    def now(self) -> int:
        """The time of the last look."""
        return self._now
