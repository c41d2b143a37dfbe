"""Where everything lies in the block of one unwinder; the rest is in ``cells``."""

from __future__ import annotations

import enum


class P(enum.IntEnum):
    """Cells of an unwinder's block."""

    EVALUATE = 0  # address of its compiled evaluator; 0: the oracle
    BIT = enum.auto()  # its bit in MASKS
    LAST = enum.auto()  # its last code, by mode
    LAST_CALL = enum.auto()
    LAST_INJECT = enum.auto()
    LAST_BLOCKED = enum.auto()
    FULL = enum.auto()  # as many stacks are kept as were asked for, by mode; stops that Python counts keep none here
    FULL_CALL = enum.auto()
    FULL_INJECT = enum.auto()
    FULL_BLOCKED = enum.auto()
    HUNG = enum.auto()
    READS = enum.auto()  # which changes may alter its walk: bits of Changed
    TRACKED = enum.auto()  # those of them that alter it only if the first step takes the register from its cursor
    ACTIVE = enum.auto()  # which changes may alter the last walk
    CLEAN = enum.auto()  # LAST stands until something it reads changes, or DIRTY
    PLAIN = enum.auto()  # the last walk rests on its start and on what is marked, and on nothing else
    APART = enum.auto()  # it is not recalled: it reads too much, or what no key tells of
    READS_MUCH = enum.auto()  # some step has read more than a few slots
    NOT_PLAIN = enum.auto()  # how often lately
    SAID = enum.auto()  # its code in the vector that was recalled
    UNDER_WAY = enum.auto()  # walks begun and not ended
    DIRTY = enum.auto()  # a store has hit what the last walk read
    LOWEST = enum.auto()  # lowest stack address the last walk read
    SHADOW_READ = enum.auto()  # S.SHADOW_READ and HW_READ of its last walk
    HW_READ = enum.auto()
    START_SERIAL = enum.auto()  # of the marks of the last walk's first step
    STALE = enum.auto()  # walk anew; 0: only the truth has changed, and the last walk stands
    WALK_LEVEL = enum.auto()  # the last walk: where its first step arrived on the path (0: it ended), and what it said
    WALK_STATUS = enum.auto()
    WALK_RA = enum.auto()
    START_COUNT = enum.auto()  # slots the last walk's first step read, and the first two of them
    START_ONE = enum.auto()
    START_TWO = enum.auto()
    KEPT = enum.auto()  # what the last walk read is marked: WHOLE but for its first step, CAPPED as if that were all
    HINT = enum.auto()  # the level at which a walk arrived last
    WIDTH = enum.auto()  # bytes of a record
    PATH = enum.auto()  # records of the last walk, level 1 its last step
    TOP = enum.auto()  # levels that are intact
    EQUAL = enum.auto()  # levels known to report the true outermost frames
    VERSION = enum.auto()
    SERIAL = enum.auto()
    INDEX = enum.auto()  # hash of a cursor -> level
    MARKS = enum.auto()  # a word for each slot: serial << 16 | level that read it
    PREFIX = enum.auto()  # records of the walk at hand
    MEMO_TRUTH = enum.auto()  # the last judgement, and all that it depends on
    MEMO_VERSION = enum.auto()
    MEMO_LEVEL = enum.auto()
    MEMO_EVENT = enum.auto()
    MEMO_RA = enum.auto()
    MEMO_NAMED = enum.auto()
    MEMO_RUNNING = enum.auto()
    MEMO_CODE = enum.auto()
    CAP = enum.auto()  # most return addresses it reports; 0: no limit
    CAP_STATUS = enum.auto()
