"""Rule tables made up by hypothesis, and call-frame information written from them by the tests' own hand."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from lab.metadata.rules import (
    CfaBase,
    Deref,
    Flag,
    Format,
    FpPlace,
    Kind,
    RaPlace,
    Reason,
    Row,
    Rule,
    RuleTable,
    merged,
    unsupported,
)

BASE, TEXT = 0x400000, 0x401000
OFFSETS = st.one_of(
    st.sampled_from([0, -8, -16, 8, 16, 0x7F, 0x80, -0x80, -0x81, 0x7FFF, 0x8000, -0x8000, -0x8001, 1 << 31, -1 << 31]),
    st.integers(-256, 256),
    st.integers(-(1 << 33), 1 << 33),
)


@st.composite
def normal_rules(draw: st.DrawFn, offsets: st.SearchStrategy[int] = OFFSETS) -> Rule:
    """A rule that DWARF CFI can say."""
    ra = draw(st.sampled_from([RaPlace.LR, RaPlace.CFA]))
    fp = draw(st.sampled_from([FpPlace.SAME, FpPlace.CFA, FpPlace.UNDEFINED]))
    return Rule(
        Kind.NORMAL,
        draw(st.sampled_from([CfaBase.SP, CfaBase.FP])),
        draw(offsets),
        Deref.NONE,
        ra,
        draw(st.one_of(st.just(-8), offsets)) if ra == RaPlace.CFA else 0,
        fp,
        draw(offsets) if fp == FpPlace.CFA else 0,
        draw(st.sampled_from([0, int(Flag.RA_SIGNED)])),
    )


@st.composite
def other_rules(draw: st.DrawFn) -> Rule:
    """Rules that ORC has, and rows without one."""
    kind = draw(st.sampled_from(list(Kind)))
    if kind == Kind.UNSUPPORTED:
        return unsupported(draw(st.sampled_from([Reason.CFA_EXPRESSION, Reason.CFA_REGISTER, Reason.RA_VALUE])))
    if kind in {Kind.END, Kind.UNDEFINED}:
        return Rule(kind, ra_place=RaPlace.UNDEFINED if kind == Kind.END else RaPlace.LR)
    base, deref = draw(st.sampled_from(list(CfaBase))), draw(st.sampled_from(list(Deref)))
    fp = draw(st.sampled_from(list(FpPlace)))
    ra = draw(st.sampled_from(list(RaPlace)))
    fp_offset = draw(OFFSETS) if fp in {FpPlace.CFA, FpPlace.FP} else 0
    ra_offset = draw(st.sampled_from([-8, 0, 128, fp_offset + 8])) if ra == RaPlace.CFA else 0
    return Rule(kind, base, draw(OFFSETS), deref, ra, ra_offset, fp, fp_offset, draw(st.integers(0, 3)))


@st.composite
def tables(draw: st.DrawFn, rules: st.SearchStrategy[Rule] | None = None) -> RuleTable:
    """A table with gaps and function starts."""
    rules = st.one_of(normal_rules(), other_rules()) if rules is None else rules
    rows, units, at = [], [TEXT], TEXT
    steps = st.tuples(st.sampled_from([0, 0, 4, 40]), st.sampled_from([4, 8, 0x100, 0x12340]), rules, st.booleans())
    for gap, size, rule, begins in draw(st.lists(steps, max_size=12)):
        rows.append(Row(at + gap, at + gap + size, rule))
        if gap or begins:
            units.append(at + gap)
        at += gap + size
    return RuleTable(Format.DWARF, tuple(merged(rows)), "made up", 1, (), tuple(dict.fromkeys(units)))


def uleb(value: int) -> bytes:
    """An unsigned LEB128 number."""
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def sleb(value: int) -> bytes:
    """A signed LEB128 number."""
    found = b""
    while not -0x40 <= value < 0x40:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value & 0x7F])


def entry(body: bytes) -> bytes:
    """*body* with its length, padded with DW_CFA_nop."""
    body += bytes(-(len(body) + 4) % 8)
    return struct.pack("<I", len(body)) + body


def cie(column: int, initial: bytes, align: int = 1, text: bytes = b"zR") -> bytes:
    """A CIE with data alignment factor -1 and pc-relative four-byte addresses."""
    return entry(bytes(4) + b"\x01" + text + b"\0" + bytes([align, 0x7F, column, 1, 0x1B]) + initial)


def section(head: bytes, *programs: tuple[int, int, bytes]) -> bytes:
    """.eh_frame at BASE with one CIE and an FDE for each (start, size, program)."""
    data = head
    for start, size, program in programs:
        at = len(data)
        fields = struct.pack("<IiI", at + 4, start - (BASE + at + 8), size)
        data += entry(fields + b"\0" + program)
    return data + bytes(4)


def advance(size: int) -> bytes:
    """The shortest DW_CFA_advance_loc*."""
    if size < 0x40:
        return bytes([0x40 | size])
    code, width = next((c, w) for c, w in ((2, "B"), (3, "H"), (4, "I")) if size < 1 << 8 * struct.calcsize(w))
    return struct.pack(f"<B{width}", code, size)
