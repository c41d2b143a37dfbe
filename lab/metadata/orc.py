"""ORC, the unwind tables of the x86 kernel: both 6-byte layouts, in and out of rule tables.

Sources: Linux v6.1 and v6.13, arch/x86/include/asm/orc_types.h (entries), arch/x86/kernel/unwind_orc.c (what they
mean, and that an entry which closes a section yields to one that opens another at the same address);
scripts/orc_hash.sh of v6.13: .orc_header holds the SHA-1 of the layout's declaration.  A kernel before 6.4 has none.
For AArch64, where no released kernel has ORC, the reading is that of the series "Use ORC for dynamic frame pointer
validation" (v3, 2023): the return address is the word above the saved FP, and nothing is said where no FP is saved.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import NamedTuple

from lab.arch import Arch
from lab.errors import InputError
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
    unsupported,
)


class Layout(enum.Enum):
    """The layouts, by the first kernel of which this is the released shape."""

    V6_1 = "6.1"  # 2-bit type, end bit
    V6_4 = "6.4"  # 3-bit type, signal bit


HEADERS = {bytes.fromhex("fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24"): Layout.V6_4}
"""Contents of .orc_header -> layout."""
_REFUSED = {bytes.fromhex("db84aed4103b31dd51e017f8f79783ca985c2c51"): "the layout of Linux 6.3"}
_ENTRY = struct.Struct("<hhH")
_PLACE = struct.Struct("<i")
ENTRY_SIZE = _ENTRY.size + _PLACE.size


class OrcType(enum.IntEnum):
    """Types of entry, as numbered since 6.4."""

    UNDEFINED = 0
    END_OF_STACK = 1
    CALL = 2
    REGS = 3
    REGS_PARTIAL = 4


class OrcReg(enum.IntEnum):
    """Base registers."""

    UNDEFINED = 0
    PREV_SP = 1
    DX = 2
    DI = 3
    BP = 4
    SP = 5
    R10 = 6
    R13 = 7
    BP_INDIRECT = 8
    SP_INDIRECT = 9


class Entry(NamedTuple):
    """One entry, whatever its layout: offsets in bytes, OrcReg and OrcType numbers.  In layout 6.1 ``signal`` is
    implied by the type."""

    sp_offset: int = 0
    bp_offset: int = 0
    sp_reg: int = OrcReg.UNDEFINED
    bp_reg: int = OrcReg.UNDEFINED
    type: int = OrcType.UNDEFINED
    signal: bool = False


TERMINATOR = Entry()
"""What closes covered code."""

_BASES = {
    OrcReg.SP: (CfaBase.SP, Deref.NONE),
    OrcReg.BP: (CfaBase.FP, Deref.NONE),
    OrcReg.SP_INDIRECT: (CfaBase.SP, Deref.BEFORE),
    OrcReg.BP_INDIRECT: (CfaBase.FP, Deref.AFTER),
}
_REGISTERS = {place: register for register, place in _BASES.items()}
_OTHER = frozenset({OrcReg.DX, OrcReg.DI, OrcReg.R10, OrcReg.R13})
_FP_PLACES = {OrcReg.UNDEFINED: FpPlace.SAME, OrcReg.PREV_SP: FpPlace.CFA, OrcReg.BP: FpPlace.FP}
_FP_REGISTERS = {place: register for register, place in _FP_PLACES.items()}
_KINDS = {OrcType.CALL: Kind.NORMAL, OrcType.REGS: Kind.REGS, OrcType.REGS_PARTIAL: Kind.REGS_PARTIAL}
_TYPES = {kind: orc_type for orc_type, kind in _KINDS.items()}
_WORD = 8


def unpack(data: bytes, layout: Layout) -> Entry | None:
    """The entry in six bytes; None for bits that have no meaning in *layout*."""
    sp_offset, bp_offset, bits = _ENTRY.unpack(data)
    sp_reg, bp_reg, rest = bits & 15, bits >> 4 & 15, bits >> 8
    if layout is Layout.V6_4:
        orc_type, signal, unused = rest & 7, bool(rest & 8), rest >> 4
        if unused or orc_type > OrcType.REGS_PARTIAL:
            return None
        return Entry(sp_offset, bp_offset, sp_reg, bp_reg, orc_type, signal)
    old, end, unused = rest & 3, bool(rest & 4), rest >> 3
    if unused or old == 3:
        return None
    if sp_reg == OrcReg.UNDEFINED:
        return Entry(sp_offset, bp_offset, 0, bp_reg, OrcType.END_OF_STACK if end else OrcType.UNDEFINED)
    # The end bit with a base register: the kernel looks at it only where there is none.
    return Entry(sp_offset, bp_offset, sp_reg, bp_reg, OrcType.CALL + old, old > 0)


def pack(entry: Entry, layout: Layout) -> bytes:
    """*entry* as six bytes; in layout 6.1 its signal bit is lost."""
    if layout is Layout.V6_4:
        rest = entry.type | entry.signal << 3
    elif entry.type == OrcType.END_OF_STACK:
        rest = 1 << 2
    else:
        rest = max(entry.type - OrcType.CALL, 0)
    return _ENTRY.pack(entry.sp_offset, entry.bp_offset, entry.sp_reg | entry.bp_reg << 4 | rest << 8)


def rule_of(entry: Entry, arch: Arch) -> Rule:
    """What *entry* says."""
    flags = int(Flag.SIGNAL) if entry.signal else 0
    if entry.type == OrcType.UNDEFINED:
        return Rule(Kind.UNDEFINED, flags=flags)
    if entry.type == OrcType.END_OF_STACK:
        return Rule(Kind.END, ra_place=RaPlace.UNDEFINED, flags=flags)
    base = _BASES.get(OrcReg(entry.sp_reg)) if entry.sp_reg in list(OrcReg) else None
    if base is None:
        return unsupported(Reason.CFA_REGISTER if entry.sp_reg in _OTHER else Reason.UNKNOWN, flags)
    place = _FP_PLACES.get(OrcReg(entry.bp_reg)) if entry.bp_reg in list(OrcReg) else None
    if place is None:
        return unsupported(Reason.FP_REGISTER, flags)
    kind = _KINDS[OrcType(entry.type)]
    ra_offset = _return_offset(kind, place, entry.bp_offset, arch)
    if ra_offset is None:
        return unsupported(Reason.RA_IN_LR, flags)
    fp_offset = 0 if place == FpPlace.SAME else entry.bp_offset
    return Rule(kind, base[0], entry.sp_offset, base[1], RaPlace.CFA, ra_offset, place, fp_offset, flags)


def _return_offset(kind: Kind, place: FpPlace, fp_offset: int, arch: Arch) -> int | None:
    """Where the format fixes the return address, from the CFA; None where it says nothing."""
    if kind == Kind.REGS:
        return arch.pt_regs.registers["pc"]
    if kind == Kind.REGS_PARTIAL:
        return 0
    if arch.lr is None:
        return -_WORD
    return fp_offset + _WORD if place == FpPlace.CFA else None


def entry_of(rule: Rule, arch: Arch, layout: Layout) -> Entry | Reason:
    """*rule* as an entry, or what the format cannot say of it.  A signed return address is no obstacle: the code is
    stripped off wherever it is loaded."""
    signal = bool(rule.flags & Flag.SIGNAL)
    if rule.kind == Kind.UNSUPPORTED:
        return Reason(rule.reason)
    if rule.kind in {Kind.END, Kind.UNDEFINED}:
        orc_type = OrcType.END_OF_STACK if rule.kind == Kind.END else OrcType.UNDEFINED
        return Entry(type=orc_type, signal=signal and layout is Layout.V6_4)
    reason = _unsayable(rule, arch, layout)
    if reason:
        return reason
    sp_reg = _REGISTERS[CfaBase(rule.cfa_base), Deref(rule.cfa_deref)]
    bp_reg = _FP_REGISTERS[FpPlace(rule.fp_place)]
    return Entry(rule.cfa_offset, rule.fp_offset, sp_reg, bp_reg, _TYPES[Kind(rule.kind)], signal)


def _unsayable(rule: Rule, arch: Arch, layout: Layout) -> Reason:
    """Why a rule with a CFA makes no entry."""
    if (rule.cfa_base, rule.cfa_deref) not in _REGISTERS:
        return Reason.CFA_REGISTER if rule.cfa_base == CfaBase.OTHER else Reason.CFA_DEREF
    if rule.fp_place == FpPlace.UNDEFINED:
        return Reason.FP_UNDEFINED
    if rule.ra_place != RaPlace.CFA:
        return Reason.RA_IN_LR if rule.ra_place == RaPlace.LR else Reason.OUTERMOST
    if rule.ra_offset != _return_offset(Kind(rule.kind), FpPlace(rule.fp_place), rule.fp_offset, arch):
        return Reason.RA_OFFSET
    if any(not -(1 << 15) <= offset < 1 << 15 for offset in (rule.cfa_offset, rule.fp_offset)):
        return Reason.OFFSET_RANGE
    if layout is Layout.V6_1 and bool(rule.flags & Flag.SIGNAL) != (rule.kind != Kind.NORMAL):
        return Reason.SIGNAL
    return Reason.NONE


@dataclass(frozen=True, slots=True)
class OrcSections:
    """Contents of .orc_unwind, .orc_unwind_ip and .orc_header (empty in layout 6.1)."""

    unwind: bytes
    ip: bytes
    header: bytes


def layout_of(sections: OrcSections, where: str) -> Layout:
    """By .orc_header; without one, 6.1.  InputError where the header is unknown, or where there is none and the
    entries cannot be of 6.1."""
    if sections.header:
        layout = HEADERS.get(sections.header)
        if layout is None:
            what = _REFUSED.get(sections.header, f"an unknown layout ({sections.header[:20].hex()})")
            raise InputError(f"{where}: .orc_header names {what}; known: Linux 6.4 and later, and 6.1 (no header)")
        return layout
    calls = partial = 0
    for at in range(0, len(sections.unwind) - _ENTRY.size + 1, _ENTRY.size):
        entry = unpack(sections.unwind[at : at + _ENTRY.size], Layout.V6_1)
        calls += entry is None or entry.type == OrcType.CALL
        partial += entry is not None and entry.type == OrcType.REGS_PARTIAL
    if partial and not calls:
        raise InputError(
            f"{where}: .orc_unwind is not of Linux 6.1, and no .orc_header says of what; build it with one"
        )
    return Layout.V6_1


def read_orc(sections: OrcSections, ip_address: int, text_end: int, arch: Arch, where: str) -> RuleTable:
    """The table in *sections*, .orc_unwind_ip loaded at *ip_address*; code ends at *text_end*, which is where the last
    entry ends unless it is a terminator.  InputError that names *where* (a file) for damage or an unknown layout."""
    layout = layout_of(sections, where)
    count = len(sections.ip) // _PLACE.size
    if len(sections.ip) % _PLACE.size or len(sections.unwind) != count * _ENTRY.size:
        raise InputError(
            f"{where}: .orc_unwind has {len(sections.unwind)} bytes and .orc_unwind_ip {len(sections.ip)}: "
            "6 and 4 bytes an entry do not match; build the tables again"
        )
    found: list[tuple[int, bool, Rule]] = []
    for number, (offset,) in enumerate(_PLACE.iter_unpack(sections.ip)):
        address = ip_address + _PLACE.size * number + offset
        entry = unpack(sections.unwind[number * _ENTRY.size : (number + 1) * _ENTRY.size], layout)
        if entry is None or not 0 <= address < 1 << 64:
            raise InputError(
                f"{where}: .orc_unwind entry {number} is damaged (unused bits, or an address out of range)"
            )
        found.append((address, entry.type != OrcType.UNDEFINED, rule_of(entry, arch)))
    size = len(sections.unwind) + len(sections.ip) + len(sections.header)
    return RuleTable(Format.ORC, tuple(_rows(found, text_end)), f".orc_unwind layout {layout.value}", size)


def _rows(found: list[tuple[int, bool, Rule]], text_end: int) -> list[Row]:
    """Rows from entries: each ends where the next begins; of those at one address the last, terminators first."""
    found.sort(key=lambda item: item[:2])
    rows = []
    for number, (start, real, rule) in enumerate(found):
        last = number + 1 == len(found)
        end = (text_end if real else start) if last else found[number + 1][0]
        if start < end:
            rows.append(Row(start, end, rule))
    return rows
