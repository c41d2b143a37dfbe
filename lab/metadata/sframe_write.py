"""SFrame written, versions 1 and 2: any rule table as one that SFrame can say, and that as bytes.

Where an address has no row the function is split in two, so that nothing is lost beside it; the GNU assembler leaves
out whole functions instead.  Addresses of functions are relative to the section in version 1 and to themselves (flag
FDE_FUNC_START_PCREL) in version 2, as its producers write them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from lab.arch import Arch
from lab.errors import InputError
from lab.metadata.rules import CfaBase, Deref, Flag, Format, FpPlace, Kind, Loss, RaPlace, Reason, Row, Rule, RuleTable
from lab.metadata.rules import merged as merge
from lab.metadata.sframe import ABI, FDE_SIZE, FIXED_RA, HEADER_SIZE, MAGIC, PCREL, SORTED, VERSIONS, Fre, Sframe
from lab.metadata.sframe_rules import rule_of

_MOST = 0xFFFF_FFFF
_WIDTHS = ((0, "B"), (1, "H"), (2, "I"))
_HEADER = struct.Struct("<HBBBbbBIIIII")
_FDE = struct.Struct("<iIIIB")


class _Run(NamedTuple):
    """A function entry to be: row entries from its start on, without a gap."""

    start: int
    end: int
    fres: list[Fre]


def to_sframe(table: RuleTable, arch: Arch, version: int) -> RuleTable:
    """*table* as far as SFrame *version* can say it, with the bytes its section would have.  Losses: the rows left
    out, by reason.  ValueError for a version other than 1 and 2."""
    if version not in VERSIONS:
        raise ValueError(f"SFrame version {version}")
    shape = _shape(arch, version)
    kept: list[Row] = []
    losses: list[Loss] = []
    for row in table.rows:
        fre = _fre(row.rule, arch) if row.end - row.start <= _MOST else Reason.RANGE
        if isinstance(fre, Fre):
            kept.append(Row(row.start, row.end, rule_of(shape, fre, arch)))
        elif fre is not Reason.NONE:
            losses.append(Loss(row.start, row.end, fre))
    groups = _groups(kept, frozenset(table.units))
    rows = tuple(row for group in groups for row in group)
    units = tuple(group[0].start for group in groups)
    origin = f"converted from {table.origin}" if table.origin else ""
    found = RuleTable(Format.SFRAME, rows, origin, 0, tuple(losses), units)
    fres = sum(len(_encoded(run)[1]) for run in _runs(found, arch))
    size = HEADER_SIZE + len(units) * FDE_SIZE[version] + fres if units else 0
    return RuleTable(Format.SFRAME, rows, origin, size, tuple(losses), units)


def _shape(arch: Arch, version: int) -> Sframe:
    """The header's part of what rows mean."""
    return Sframe(version, SORTED | (PCREL if version > 1 else 0), 0, FIXED_RA[arch.name], ())


def _groups(rows: list[Row], units: frozenset[int]) -> list[list[Row]]:
    """*rows* by function: a new one where the source has one, after a gap, and where a size would not fit."""
    groups: list[list[Row]] = []
    for row in rows:
        last = groups[-1] if groups else None
        if last and last[-1].end == row.start and row.start not in units and row.end - last[0].start <= _MOST:
            last.append(row)
        else:
            groups.append([row])
    return [merge(group) for group in groups]


def _fre(rule: Rule, arch: Arch) -> Fre | Reason:
    """*rule* as a row entry (of start 0), or what SFrame cannot say of it; NONE where it says nothing itself."""
    if rule.kind != Kind.NORMAL:
        return {Kind.UNSUPPORTED: Reason(rule.reason), Kind.END: Reason.OUTERMOST, Kind.UNDEFINED: Reason.NONE}.get(
            Kind(rule.kind), Reason.KIND
        )
    reason = _unsayable(rule, arch)
    if reason:
        return reason
    offsets = [rule.cfa_offset]
    if not FIXED_RA[arch.name] and rule.ra_place == RaPlace.CFA:
        offsets.append(rule.ra_offset)
    if rule.fp_place != FpPlace.SAME:
        offsets.append(_fp_offset(rule))
    if any(not -(1 << 31) <= offset < 1 << 31 for offset in offsets):
        return Reason.OFFSET_RANGE
    return Fre(0, CfaBase(rule.cfa_base), tuple(offsets), bool(rule.flags & Flag.RA_SIGNED))


def _fp_offset(rule: Rule) -> int:
    """Where FP is saved, from the CFA; FP's own value is known where the CFA is based on it."""
    return rule.fp_offset - (rule.cfa_offset if rule.fp_place == FpPlace.FP else 0)


def _unsayable(rule: Rule, arch: Arch) -> Reason:
    """Why a rule with a CFA makes no row entry."""
    fixed = FIXED_RA[arch.name]
    if rule.cfa_base == CfaBase.OTHER:
        return Reason.CFA_REGISTER
    if rule.cfa_deref != Deref.NONE:
        return Reason.CFA_DEREF
    if rule.flags & Flag.SIGNAL:
        return Reason.SIGNAL
    if rule.ra_place == RaPlace.UNDEFINED:
        return Reason.OUTERMOST
    if fixed and rule.ra_place != RaPlace.CFA:
        return Reason.RA_IN_LR
    if fixed and rule.ra_offset != fixed:
        return Reason.RA_OFFSET
    if rule.fp_place == FpPlace.UNDEFINED:
        return Reason.FP_UNDEFINED
    if rule.fp_place == FpPlace.FP and rule.cfa_base != CfaBase.FP:
        return Reason.FP_PLACE
    if rule.fp_place != FpPlace.SAME and not fixed and rule.ra_place == RaPlace.LR:
        return Reason.FP_PLACE
    return Reason.NONE


def _runs(table: RuleTable, arch: Arch) -> list[_Run]:
    """The function entries of a table that SFrame can say.  ValueError for a row that it cannot."""
    runs: list[_Run] = []
    for group in _groups(list(table.rows), frozenset(table.units)):
        fres = []
        for row in group:
            fre = _fre(row.rule, arch)
            if isinstance(fre, Reason):
                raise ValueError(f"row at {row.start:#x}: {fre.name}")
            fres.append(fre._replace(start=row.start - group[0].start))
        runs.append(_Run(group[0].start, group[-1].end, fres))
    return runs


def _encoded(run: _Run) -> tuple[int, bytes]:
    """(the code of the width of start addresses, the row entries as bytes), in the smallest form, as clang does; the
    GNU assembler takes addresses as wide as the function's size would need."""
    code, width = next(found for found in _WIDTHS if run.fres[-1].start < 1 << 8 * struct.calcsize(found[1]))
    parts = []
    for fre in run.fres:
        size = next(
            size for size, _ in _WIDTHS if all(-1 << (8 << size) - 1 <= o < 1 << (8 << size) - 1 for o in fre.offsets)
        )
        info = (fre.base == CfaBase.SP) | len(fre.offsets) << 1 | size << 5 | fre.mangled << 7
        parts.append(struct.pack(f"<{width}B", fre.start, info))
        parts += [offset.to_bytes(1 << size, "little", signed=True) for offset in fre.offsets]
    return code, b"".join(parts)


def write_sframe(table: RuleTable, arch: Arch, version: int, address: int) -> bytes:
    """*table*, which SFrame can say (``to_sframe``), as the contents of .sframe loaded at *address*.

    ValueError for a row it cannot say; InputError where code is more than 2 GiB from the section."""
    shape = _shape(arch, version)
    fdes, fres, count = [], b"", 0
    for number, run in enumerate(_runs(table, arch)):
        code, encoded = _encoded(run)
        origin = address + (HEADER_SIZE + number * FDE_SIZE[version] if shape.flags & PCREL else 0)
        if not -(1 << 31) <= run.start - origin < 1 << 31:
            raise InputError(f"code is more than 2 GiB away from .sframe at {address:#x}; link them nearer")
        entry = _FDE.pack(run.start - origin, run.end - run.start, len(fres), len(run.fres), code)
        fdes.append(entry.ljust(FDE_SIZE[version], b"\0"))
        fres += encoded
        count += len(run.fres)
    lengths = (len(fdes), count, len(fres), 0, len(fdes) * FDE_SIZE[version])
    header = _HEADER.pack(MAGIC, version, shape.flags, ABI[arch.name], 0, shape.fixed_ra, 0, *lengths)
    return header + b"".join(fdes) + fres
