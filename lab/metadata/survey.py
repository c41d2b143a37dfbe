"""What each unwind format says of one image, how large it is, and what it cannot carry over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lab.arch import Arch
from lab.errors import InputError
from lab.metadata.orc import Layout
from lab.metadata.orc_write import to_orc
from lab.metadata.rules import CfaBase, Deref, Format, FpPlace, Loss, RaPlace, Reason, Rule, RuleTable
from lab.metadata.sframe import VERSIONS
from lab.metadata.sframe_write import to_sframe
from lab.metadata.tables import SECTIONS, ImageLike, read_tables


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
class Dead:
    """Rows [start, end) whose slot for ``what`` (``return address`` or ``FP``) lies below SP, where an exception's
    entry overwrites it."""

    what: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FormatRow:
    """One format: ``origin`` as in RuleTable; ``size``: bytes of its sections; ``covered``: bytes of executable
    sections for which it says how to go on; ``dead``: slots below SP; ``rule``: that of the address asked for;
    ``problem``: why it could not be read ("" = it was)."""

    name: str
    origin: str
    rows: int
    size: int
    covered: int
    lost: tuple[Lost, ...]
    dead: tuple[Dead, ...] = ()
    rule: Rule | None = None
    problem: str = ""


def survey(image: ImageLike, source: Format | None = None, pc: int = 0) -> list[FormatRow]:
    """Each format the image has, then what its table of *source* (default: the first that can be read, in the order
    of Format) would be in every version of ORC and SFrame; each with its rule before the instruction at *pc*.
    InputError where the image lacks *source*."""
    found: list[FormatRow] = []
    tables: dict[Format, RuleTable] = {}
    for kind in Format:
        section = image.section(SECTIONS[kind])
        if section is None or not section.data:
            continue
        try:
            tables[kind] = read_tables(image, [kind])[kind]
        except InputError as error:
            found.append(FormatRow(kind.name.lower(), SECTIONS[kind], 0, len(section.data), 0, (), problem=str(error)))
        else:
            found.append(_row(kind.name.lower(), tables[kind], image, pc))
    if source is not None and source not in tables:
        why = next((row.problem for row in found if row.name == source.name.lower()), "")
        raise InputError(why or f"{image.path}: no {SECTIONS[source]} section; choose a format that the image has")
    if tables:
        base = tables[min(tables) if source is None else source]
        found += [_row(name, table, image, pc) for name, table in _conversions(base, image.arch)]
    return found


def _conversions(base: RuleTable, arch: Arch) -> Iterable[tuple[str, RuleTable]]:
    """(name, *base* converted), version by version."""
    for layout in Layout:
        yield f"orc {layout.value}", to_orc(base, arch, layout)
    for version in VERSIONS:
        yield f"sframe {version}", to_sframe(base, arch, version)


def _row(name: str, table: RuleTable, image: ImageLike, pc: int) -> FormatRow:
    lost: dict[Reason, list[Loss]] = {}
    for loss in table.losses:
        lost.setdefault(loss.reason, []).append(loss)
    ordered = sorted(lost.items(), key=lambda item: (-len(item[1]), item[0]))
    losses = tuple(Lost(reason, tuple((loss.start, loss.end) for loss in found)) for reason, found in ordered)
    return FormatRow(
        name,
        table.origin,
        len(table.rows),
        table.size,
        _covered(table, image),
        losses,
        tuple(_dead(table)),
        table.at(pc),
    )


def _dead(table: RuleTable) -> Iterator[Dead]:
    """Only where the CFA is a distance from SP can the table itself tell."""
    known = [row for row in table.rows if row.rule.cfa_base == CfaBase.SP and row.rule.cfa_deref == Deref.NONE]
    slots = {
        "return address": [(row, row.rule.ra_offset) for row in known if row.rule.ra_place == RaPlace.CFA],
        "FP": [(row, row.rule.fp_offset) for row in known if row.rule.fp_place == FpPlace.CFA],
    }
    for what, found in slots.items():
        ranges = tuple((row.start, row.end) for row, offset in found if row.rule.cfa_offset + offset < 0)
        if ranges:
            yield Dead(what, ranges)


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
