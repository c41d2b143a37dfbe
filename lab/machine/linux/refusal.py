"""How a system call fails."""

from __future__ import annotations

import errno

_ONE_OF_SEVERAL = {errno.EAGAIN: "EAGAIN", errno.EDEADLK: "EDEADLK", errno.EOPNOTSUPP: "EOPNOTSUPP"}
NAMES: dict[int, str] = {**errno.errorcode, **_ONE_OF_SEVERAL}
"""Number -> name, one for those that have several."""


class Refusal(Exception):  # noqa: N818  what a guest gets as its answer, not an error of the lab
    """The call's result is -``number`` (errno.h); ``note`` says in the trace what this Linux does not have."""

    def __init__(self, number: int, note: str = "") -> None:
        super().__init__(NAMES.get(number, str(number)))
        self.number = number
        self.note = note

    @property
    def name(self) -> str:
        """ENOENT and its like."""
        return NAMES.get(self.number, str(self.number))
