"""What states new code has, worked out from the old table alone."""

from __future__ import annotations

from bisect import bisect_right

from lab.metadata.cfi import Frames, rows, state_at
from lab.metadata.cfi_state import CfiState, How, Rule
from rewriters.unwind import Span

_GAP = 16  # bytes between pieces of one function that one FDE bridges


def behind_pushes(spans: list[Span], old: Frames) -> set[int]:
    """The new addresses of spans that begin, in the same function and state, behind one that has pushed something."""
    found, written, before, end = set(), -1, None, 0
    for span in sorted(spans, key=lambda span: span.new_start):
        first = old.at(span.old_address)
        last = old.at(span.old_address + span.old_size - 1) if span.linear else first
        if first is not before or span.new_start - end >= _GAP:
            written = -1  # another FDE
        written = span.old_address if span.pushed else written
        if written == span.old_address:
            found.add(span.new_start)
        if last is not None and last is not first:
            written = last.start if span.pushed else -1
        before, end = last, span.new_end
    return found


def expected(old: Frames, span: Span, offset: int, stack: int, *, behind: bool) -> CfiState:
    """The state at *offset* into *span*, from the old table alone.  *behind* what has been pushed (the whole span, or
    as far as the row it begins in) nothing is saved below SP."""
    at = span.old_address + (offset if span.linear else 0)
    fde = old.at(at)
    assert fde is not None
    state = state_at(fde, at)
    cfa, registers = state.cfa, dict(state.registers)
    first = rows(fde)[bisect_right([row.start for row in rows(fde)], span.old_address) - 1]
    if cfa.expression is None and cfa.register == stack:
        if behind and (span.pushed or at < first.end):
            for number, rule in state.registers.items():
                if rule.how is How.OFFSET and rule.value + cfa.offset < 0:
                    registers[number] = Rule(How.SAME)
        cfa = cfa._replace(offset=cfa.offset + span.pushed)
    return CfiState(cfa, registers, state.signed, state.args_size)
