"""When a stop is judged a second time, by the reference engine's code: now and then, for a small part of the time."""

from __future__ import annotations

import time

_SHARE = 50  # of the time goes by, for each part that is spent so
_WAIT_S = 0.05  # at least, between two
_FRAME_S = 5e-6  # about what one frame of one walk takes
_FEW = 200  # frames that are never waited for


class Audits:
    """The audits of one execution."""

    def __init__(self) -> None:
        self._last, self._wait_s = time.monotonic(), 0.0

    def due(self, frames: int) -> bool:
        """Whether walks of so many *frames* in all would be in proportion to the time since the last ones."""
        wait = max(self._wait_s, _SHARE * _FRAME_S * (frames - _FEW))
        return time.monotonic() - self._last > wait

    def done(self, began: float) -> None:
        """One that *began* then (``time.monotonic``) is over."""
        self._last = time.monotonic()
        self._wait_s = max(_WAIT_S, _SHARE * (self._last - began))
