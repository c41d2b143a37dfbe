"""Jumps behind a lock prefix.

C libraries skip the prefix while there is one thread (``je 1f; lock; 1: cmpxchg ...``): one instruction with two
entries.  Taken apart, the prefix is a byte that falls into the rest, and each has its own place to be jumped to.
"""

from __future__ import annotations

from lab.arch.decode import Insn, Kind, decode_one
from lab.images.flow import Code

LOCK = 0xF0


def apart(code: Code) -> Code:
    """*code* with every locked instruction that is jumped into behind its prefix as two."""
    wanted = {insn.target for insn in code.insns if insn.target is not None} - code.index.keys()
    if not any(_split(insn, wanted) for insn in code.insns):
        return code
    insns: list[Insn] = []
    for insn in code.insns:
        insns += _pair(code, insn) if _split(insn, wanted) else [insn]
    return Code(code.arch, code.function, tuple(insns))


def is_prefix(insn: Insn) -> bool:
    """Whether *insn* is a prefix taken apart: no instruction that a disassembler would read back."""
    return insn.size == 1 and insn.raw[0] == LOCK


def _split(insn: Insn, wanted: set[int]) -> bool:
    return insn.address + 1 in wanted and insn.size > 1 and insn.raw[0] == LOCK


def _pair(code: Code, insn: Insn) -> list[Insn]:
    """The prefix, and what it stands before; the whole where the rest is no single instruction."""
    rest = decode_one(code.arch, insn.raw[1:], insn.address + 1)
    if rest.kind is Kind.UNDECODED or rest.end != insn.end:
        return [insn]
    prefix = Insn(insn.address, insn.raw[:1], "lock", "", Kind.OTHER, None, frozenset(), frozenset())
    return [prefix, rest]
