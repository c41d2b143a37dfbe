"""What each unwind format says of one image, how large it is, and what it cannot carry over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.arch import Arch
from lab.errors import InputError
from lab.metadata.orc import Layout
from lab.metadata.orc_write import to_orc
from lab.metadata.rules import Format, Loss, Reason, RuleTable
from lab.metadata.sframe import VERSIONS
from lab.metadata.sframe_write import to_sframe
from lab.metadata.tables import SECTIONS, ImageLike, read_tables

TEXTS = {
    Reason.CFA_MISSING: "no rule for the CFA",
    Reason.CFA_EXPRESSION: "CFA by an expression",
    Reason.CFA_REGISTER: "CFA from a register other than SP and FP",
    Reason.CFA_DEREF: "CFA loaded from memory",
    Reason.RA_UNSAVED: "return address said to be in no register there is",
    Reason.RA_REGISTER: "return address in a register other than LR",
    Reason.RA_VALUE: "return address computed from the CFA",
    Reason.RA_EXPRESSION: "return address by an expression",
    Reason.RA_OFFSET: "return address in another slot than the format's",
    Reason.RA_IN_LR: "return address in LR",
    Reason.RA_SIGNED: "mark that the return address is signed (row kept)",
    Reason.FP_REGISTER: "caller's FP in another register",
    Reason.FP_VALUE: "caller's FP computed from the CFA",
    Reason.FP_EXPRESSION: "caller's FP by an expression",
    Reason.FP_PLACE: "caller's FP saved where the format cannot say",
    Reason.FP_UNDEFINED: "caller's FP lost",
    Reason.SP_RULE: "caller's SP is not the CFA",
    Reason.OFFSET_RANGE: "offset too large",
    Reason.RANGE: "code too long for one entry",
    Reason.KIND: "whole register sets (pt_regs)",
    Reason.SIGNAL: "mark of a signal frame",
    Reason.OUTERMOST: "end of the stack",
    Reason.DAMAGED: "damaged instructions",
    Reason.UNKNOWN: "values without a meaning",
}
"""Reason -> what is lost, in words."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What is lost for one reason: ranges [start, end) of addresses, one a row of the source."""

    reason: Reason
    ranges: tuple[tuple[int, int], ...]

    @property
    def bytes(self) -> int:
        """Bytes of code."""
        return sum(end - start for start, end in self.ranges)


@dataclass(frozen=True, slots=True)
class FormatRow:
    """One format: ``origin`` as in RuleTable; ``size``: bytes of its sections; ``covered``: bytes of executable
    sections for which it says how to go on; ``problem``: why it could not be read ("" = it was)."""

    name: str
    origin: str
    rows: int
    size: int
    covered: int
    lost: tuple[Lost, ...]
    problem: str = ""


def survey(image: ImageLike, source: Format | None = None) -> list[FormatRow]:
    """Each format the image has, then what its table of *source* (default: the first that can be read, in the order
    of Format) would be in every version of ORC and SFrame.  InputError where the image lacks *source*."""
    found: list[FormatRow] = []
    tables: dict[Format, RuleTable] = {}
    for kind in Format:
        section = image.section(SECTIONS[kind])
        if section is None or not section.data:
            continue
        try:
            tables[kind] = read_tables(image, [kind])[kind]
        except InputError as error:
            found.append(FormatRow(kind.name.lower(), SECTIONS[kind], 0, len(section.data), 0, (), str(error)))
        else:
            found.append(_row(kind.name.lower(), tables[kind], image))
    if source is not None and source not in tables:
        why = next((row.problem for row in found if row.name == source.name.lower()), "")
        raise InputError(why or f"{image.path}: no {SECTIONS[source]} section; choose a format that the image has")
    if tables:
        base = tables[min(tables) if source is None else source]
        found += [_row(name, table, image) for name, table in _conversions(base, image.arch)]
    return found


def _conversions(base: RuleTable, arch: Arch) -> Iterable[tuple[str, RuleTable]]:
    """(name, *base* converted), version by version."""
    for layout in Layout:
        yield f"orc {layout.value}", to_orc(base, arch, layout)
    for version in VERSIONS:
        yield f"sframe {version}", to_sframe(base, arch, version)


def _row(name: str, table: RuleTable, image: ImageLike) -> FormatRow:
    lost: dict[Reason, list[Loss]] = {}
    for loss in table.losses:
        lost.setdefault(loss.reason, []).append(loss)
    ordered = sorted(lost.items(), key=lambda item: (-len(item[1]), item[0]))
    losses = tuple(Lost(reason, tuple((loss.start, loss.end) for loss in found)) for reason, found in ordered)
    return FormatRow(name, table.origin, len(table.rows), table.size, _covered(table, image), losses)


def _covered(table: RuleTable, image: ImageLike) -> int:
    """Bytes of executable sections with a row that says how to go on; sections do not overlap in a loaded image."""
    code = sorted((s.address, s.address + s.size) for s in image.sections if s.executable)
    total = at = 0
    for row in table.told():
        while at < len(code) and code[at][1] <= row.start:
            at += 1
        here = at
        while here < len(code) and code[here][0] < row.end:
            total += max(0, min(row.end, code[here][1]) - max(row.start, code[here][0]))
            here += 1
    return total
