"""What ``generate`` puts in for each unwinder: its two functions, and four over cursors of its length."""

from __future__ import annotations


def start(s, mode, pc, regs):
    """The unwinder's; put in by ``generate``."""
    raise NotImplementedError


def step(s, mem, cursor):
    """The unwinder's; put in by ``generate``."""
    raise NotImplementedError


def save_cursor(at, cursor):
    """Stores a cursor's words; put in by ``generate``."""
    raise NotImplementedError


def same_cursor(at, cursor):
    """Whether the words at *at* are those of *cursor*; put in by ``generate``."""
    raise NotImplementedError


def hash_cursor(cursor):
    """A number below INDEX_SIZE; put in by ``generate``."""
    raise NotImplementedError


def copy_cursor(to, at):
    """Copies a cursor's words; put in by ``generate``."""
    raise NotImplementedError


def hash_words(at):
    """The same number for a cursor that is saved; put in by ``generate``."""
    raise NotImplementedError


def by_row(cursor, pc):
    """Whether the walk from *cursor* depends on *pc* through ``where`` alone, if at all; put in by ``generate``."""
    raise NotImplementedError
