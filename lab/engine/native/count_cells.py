"""Where everything lies in the block of the plain counter."""

from __future__ import annotations

import enum


class C(enum.IntEnum):
    """Cells of a plain counter's block."""

    STOP = 0
    EVENT = enum.auto()
    CODE_LOW = enum.auto()
    CODE_SIZE = enum.auto()
    FLAGS = enum.auto()  # a byte for each byte of code: KNOWN | classify's flags
    HOOKS = enum.auto()
    PREVIOUS = enum.auto()
    LIMIT = enum.auto()
    WRITE_KIND = enum.auto()  # the machine's number of a write
    WAS_CALL = enum.auto()
    LOADED = enum.auto()
    STORED = enum.auto()
    INSTRUCTIONS = enum.auto()
    CALLS = enum.auto()
    LOADS = enum.auto()
    STORES = enum.auto()
