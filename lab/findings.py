"""What the doctor says of one thing the lab can use."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Status(enum.Enum):
    """Of one thing the lab can use."""

    OK = "ok"
    MISSING = "missing"  # the lab cannot do its work
    OPTIONAL_MISSING = "optional-missing"  # it can, without what ``cost`` says
    FAILED = "failed"  # it is there and does not do what it must


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: its name, version where it has one, status, what its absence costs, and what was seen.

    ``note`` is for everybody to read where all is well; ``detail`` for whoever looks closer.
    """

    name: str
    version: str | None
    status: Status
    cost: str
    detail: str = ""
    note: str = ""
