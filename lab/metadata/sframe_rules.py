"""SFrame as a rule table.

Source: The SFrame Format, versions 1 and 2.  A row's offsets are those of the CFA, then of the return address unless
the header fixes it, then of FP unless the header fixes it; on AArch64 without an offset the return address is in LR.
The function of an address is the one that starts nearest before it.  Version 2 leaves open what a repeated block is
counted from: here, from the function's start, as the kernel's readers do.
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.arch import Arch
from lab.errors import InputError
from lab.metadata.rules import (
    Flag,
    Format,
    FpPlace,
    Kind,
    Loss,
    RaPlace,
    Reason,
    Row,
    Rule,
    RuleTable,
    merged,
    unsupported,
)
from lab.metadata.sframe import FdeType, Fre, Function, Sframe, parse_sframe

MOST_ROWS = 1 << 20
"""Rows that repeated blocks may grow to."""
_MOST_MASK = 0xFF


def read_sframe(data: bytes, address: int, arch: Arch, where: str) -> RuleTable:
    """The table of *data*, the contents of .sframe loaded at *address*; InputError naming *where* if damaged."""
    found = parse_sframe(data, address, arch, where)
    functions = sorted((function for function in found.functions if function.size), key=lambda function: function.start)
    if sum(_repeated(function, found.version, where) for function in functions) > MOST_ROWS:
        raise InputError(f"{where}: .sframe repeats blocks to more than {MOST_ROWS} rows")
    rows: list[Row] = []
    for number, function in enumerate(functions):
        end = function.start + function.size
        if number + 1 < len(functions):
            end = min(end, functions[number + 1].start)
        rows += merged(_rows(found, function, end, arch))
    losses = tuple(
        Loss(row.start, row.end, Reason(row.rule.reason)) for row in rows if row.rule.kind == Kind.UNSUPPORTED
    )
    units = tuple(dict.fromkeys(function.start for function in functions))
    return RuleTable(Format.SFRAME, tuple(rows), f".sframe version {found.version}", len(data), losses, units)


def _repeated(function: Function, version: int, where: str) -> int:
    """At most how many rows the blocks of *function* repeat to; InputError for a mask no repeated code has."""
    if function.type is FdeType.PCINC:
        return 0
    if version > 1:
        return (function.size // function.block + 1) * len(function.fres)
    if any(fre.start > _MOST_MASK for fre in function.fres):
        raise InputError(f"{where}: .sframe has a mask above {_MOST_MASK:#x} for the code at {function.start:#x}")
    return function.size if any(fre.start for fre in function.fres) else 1


def _rows(found: Sframe, function: Function, end: int, arch: Arch) -> Iterator[Row]:
    for start, stop, fre in _ranges(found, function, end):
        if start < min(stop, end):
            yield Row(start, min(stop, end), rule_of(found, fre, arch))


def _ranges(found: Sframe, function: Function, end: int) -> Iterator[tuple[int, int, Fre]]:
    """(start, end, row entry) over the code of *function*."""
    if function.type is FdeType.PCINC:
        yield from _spread(function.fres, function.start, function.start + function.size)
    elif found.version > 1:
        for block in range(function.start, end, function.block):
            yield from _spread(function.fres, block, block + function.block)
    else:
        yield from _masked(function, end)


def _spread(fres: tuple[Fre, ...], start: int, end: int) -> Iterator[tuple[int, int, Fre]]:
    """*fres* from *start*, each up to the next, the last up to *end*."""
    for number, fre in enumerate(fres):
        stop = start + fres[number + 1].start if number + 1 < len(fres) else end
        yield start + fre.start, stop, fre


def _masked(function: Function, end: int) -> Iterator[tuple[int, int, Fre]]:
    """Version 1: the last row entry whose start, as a mask of pc, gives at least itself."""
    period = 1 << max((fre.start for fre in function.fres), default=0).bit_length()
    chosen = [
        next((fre for fre in reversed(function.fres) if pc & fre.start >= fre.start), None) for pc in range(period)
    ]
    at = function.start
    while at < end:
        fre, stop = chosen[at % period], end if period == 1 else at + 1
        while stop < end and chosen[stop % period] is fre:
            stop += 1
        if fre is not None:
            yield at, stop, fre
        at = stop


def rule_of(found: Sframe, fre: Fre, arch: Arch) -> Rule:
    """What the row entry *fre* says."""
    flags = int(Flag.RA_SIGNED) if fre.mangled else 0
    most = 1 + (not found.fixed_ra) + (not found.fixed_fp)
    if not 1 <= len(fre.offsets) <= most:
        return unsupported(Reason.UNKNOWN, flags)
    cfa, *rest = fre.offsets
    place, ra_offset = RaPlace.CFA, found.fixed_ra
    if not found.fixed_ra:
        if not rest and arch.lr is None:
            return unsupported(Reason.RA_UNSAVED, flags)
        place, ra_offset = (RaPlace.CFA, rest.pop(0)) if rest else (RaPlace.LR, 0)
    fp_offset = found.fixed_fp or (rest[0] if rest else 0)
    fp_place = FpPlace.CFA if found.fixed_fp or rest else FpPlace.SAME
    return Rule(Kind.NORMAL, fre.base, cfa, 0, place, ra_offset, fp_place, fp_offset, flags)
