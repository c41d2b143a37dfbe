"""Where everything lies in the block of the profiler, and in its record of a place."""

from __future__ import annotations

import enum


class F(enum.IntEnum):
    """Cells of a profiler's block."""

    STOP = 0
    EVENT = enum.auto()
    CODE_LOW = enum.auto()
    CHANGEABLE = enum.auto()  # first address of the range that holds all code the guest can write
    CHANGEABLE_SIZE = enum.auto()
    RECORDS = enum.auto()  # RECORD_WORDS words for each byte of code, of which few are ever touched
    WRITE_KIND = enum.auto()  # the machine's number of a write
    HOOKS = enum.auto()
    PREVIOUS = enum.auto()  # pc of the instruction at hand; MASK64 before the first
    FOLLOWING = enum.auto()  # the address after it
    CURRENT = enum.auto()  # its record
    LOADED = enum.auto()
    STORED = enum.auto()
    LIMIT = enum.auto()
    INSTRUCTIONS = enum.auto()
    EDGES = enum.auto()  # a hash table of EDGE_MASK + 1 entries: key, count
    EDGE_MASK = enum.auto()
    EDGE_COUNT = enum.auto()
    KEY = enum.auto()  # of the edge for which there is no room


class Record(enum.IntEnum):
    """Words of the record of one place.  A load or store is an execution that reads or writes memory at all."""

    CODE = 0  # KNOWN | classify's flags | size << 8
    EXECUTIONS = enum.auto()
    LOADS = enum.auto()
    STORES = enum.auto()
    BYTES_LOADED = enum.auto()
    BYTES_STORED = enum.auto()


RECORD_WORDS = len(Record)
EDGE_WORDS = 2
