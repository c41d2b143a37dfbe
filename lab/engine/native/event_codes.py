"""What compiled code calls Python for."""

from __future__ import annotations

import enum


class Event(enum.IntEnum):
    """Why compiled code calls Python."""

    DECODE = 0
    KEEP = enum.auto()
    BUDGET = enum.auto()
    TICK = enum.auto()
    NOT_STORED = enum.auto()
    GROW_TRUTH = enum.auto()
    GROW_ENTRIES = enum.auto()
    GROW_NODES = enum.auto()
    CODE_WRITTEN = enum.auto()
    FLAGS = enum.auto()
    UNKNOWN_STATUS = enum.auto()
    AUDIT = enum.auto()
    IMBALANCE = enum.auto()
    MOVED = enum.auto()
    TAKE = enum.auto()
    WATCHED = enum.auto()
    STOPPED = enum.auto()
    CALL_SITE = enum.auto()
    RETURNED = enum.auto()
