"""What an unwinder may look up besides memory: rule tables, where code is, where calls end, where stacks are."""

from __future__ import annotations

from lab.engine.native.cells import SITE_CALL, SITE_UNKNOWN, WORD, S, Span
from lab.engine.native.core.memory import span
from lab.engine.native.event_codes import Event
from lab.engine.native.primitives import call3, get, load8, load64, put
from lab.metadata.rules import Field
from lab.unwind.code_view import TABLES

FIELDS = len(Field)


def rule_row(s, mem, table, pc):
    """An unwinder's ``rule``."""
    if table >= TABLES:
        return 0
    return load64(span(s, pc) + (Span.RULES + table) * WORD)


def rule_field(s, mem, table, row, field):
    """An unwinder's ``rule_word``."""
    if table >= TABLES or field >= FIELDS:
        return 0
    at = get(s, S.RULES) + table * 2 * WORD
    if row > get(at, 1):
        return 0
    return load64(get(at, 0) + (row * FIELDS + field) * WORD)


def in_text(s, mem, address):
    """An unwinder's ``is_text``.  True or false."""
    return pair_of(address, get(s, S.TEXT), get(s, S.TEXT_END)) != 0


def stack_low(s, mem, address):
    """An unwinder's ``stack_of``."""
    at = pair_of(address, get(s, S.STACKS), get(s, S.STACKS_END))
    if at == 0:
        return 0
    return get(at, 0)


def stack_high(s, mem, address):
    """An unwinder's ``stack_end``."""
    at = pair_of(address, get(s, S.STACKS), get(s, S.STACKS_END))
    if at == 0:
        return 0
    return get(at, 1)


def pair_of(address, at, end):
    """The first of the pairs [low, high) from *at* to *end* that holds *address*; 0 where none does."""
    while at < end:
        if get(at, 0) <= address < get(at, 1):
            return at
        at = at + 2 * WORD
    return 0


def call_before(s, mem, address):
    """An unwinder's ``after_call``.  True or false."""
    put(s, S.SITES_ASKED, 1)
    index = address - get(s, S.CODE_LOW)
    if index >= get(s, S.CODE_SIZE):
        return False
    found = load8(get(s, S.SITES) + index)
    if found == SITE_UNKNOWN:
        found = call3(get(s, S.EVENT), Event.CALL_SITE, address, 0)
    return found == SITE_CALL
