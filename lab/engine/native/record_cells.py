"""Where everything lies in the records that blocks point to; the rest is in ``cells``."""

from __future__ import annotations

import enum


class Place(enum.IntEnum):
    """Cells of one place.  CODE is 0 until decoded: KNOWN | classify's flags | length << 8 | WATCHED | span << 32."""

    CODE = 0
    ROW = enum.auto()  # the packed store row
    KEY = enum.auto()  # of its last boundary
    STOPS = enum.auto()  # boundaries with that key since another was there


class Record(enum.IntEnum):
    """Cells of one step's record, on the path or in the prefix; the cursor's words follow."""

    SERIAL = 0  # path: number of this record; prefix: where its reads begin in the log
    STATUS = enum.auto()  # what the step said
    RA = enum.auto()
    LOWEST = enum.auto()  # lowest stack address read: path: from here to the end; prefix: by this step
    FRAMES = enum.auto()  # path: return addresses from here to the end; prefix: whether the step is tainted
    SUMMARY = enum.auto()  # path: what the tail comes to; prefix: where its reads end in the log
    SHADOW = enum.auto()  # S.SHADOW_READ, path: from here to the end; prefix: of this step
    HARDWARE = enum.auto()  # S.HW_READ likewise
    CURSOR = enum.auto()


class Truth(enum.IntEnum):
    """Cells of one activation."""

    RA = 0
    AT_CALL = enum.auto()
    MARKER = enum.auto()
    NAMED = enum.auto()  # function whose symbol holds ra
    RUNNING = enum.auto()  # function that made the call
    BODY = enum.auto()  # the same with cold parts counted to their function: its start
    BAD = enum.auto()  # nearest level from here outwards whose NAMED is not its RUNNING
    IS_FIRST = enum.auto()  # FIRST[NAMED] is this level: bit 0; INTERRUPTED and EXCEPTION


class Span(enum.IntEnum):
    """Cells of what is the same for every byte of a span of code."""

    NAMED = 0
    RUNNING = enum.auto()
    BODY = enum.auto()
    WHERE = enum.auto()
    WHERE_OFFSET = enum.auto()
    CFI_FP = enum.auto()  # the .eh_frame row is based on FP
    CFI_OFFSET = enum.auto()
    GROUP = enum.auto()  # numbers of what must be equal: see GROUP_BITS
    RULES = enum.auto()  # number of the row of each rule table
