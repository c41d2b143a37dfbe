"""Plain ASCII in 70 columns that survives mail: shares that never lie by rounding, tables, wrapping."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lab.arch import arch_by_name
from lab.errors import InputError

WIDTH = 70
"""Columns: two levels of quoting still fit in 75 more or less."""
CUT_HERE = ("---", "diff -", "Index: ")
"""Line beginnings at which ``git am`` cuts a mail."""
_LEAST_LABEL = 9


def arch_title(name: str) -> str:
    """What the field calls the architecture (``arm64``)."""
    try:
        return arch_by_name(name).title
    except InputError:
        return name


def clean(text: str) -> str:
    """*text* on one line of printable ASCII; names come from untrusted files."""
    if text.isascii() and text.isprintable():
        return text
    return text.encode("unicode_escape").decode("ascii")


def share(part: int, whole: int) -> str:
    """*part* of *whole* in percent: a nonzero is never 0.00%, less than all is never 100.00%; zero is ``0``."""
    if whole <= 0:
        return "n/a"
    if part == 0:
        return "0"
    hundredths = round(Fraction(part * 10_000, whole))
    if hundredths == 0:
        return "<0.01%"
    if hundredths >= 10_000 and part < whole:
        return ">99.99%"
    return f"{hundredths // 100}.{hundredths % 100:02d}%"


def signed(value: Fraction | None, unit: str = "") -> str:
    """An exact difference with two decimals and its sign; ``0`` if it is nothing, ``n/a`` if there is none."""
    if value is None:
        return "n/a"
    if value == 0:
        return "0"
    hundredths = round(abs(value) * 100)
    sign = "+" if value > 0 else "-"
    digits = f"{hundredths // 100}.{hundredths % 100:02d}" if hundredths else "<0.01"
    return f"{sign}{digits}{unit}"


def change(before: int, after: int) -> str:
    """From *before* to *after* in percent, exact counts: ``+33.33%``."""
    return signed(Fraction(100 * (after - before), before), "%") if before else "n/a"


def count(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Line:
    """One table line.  Without cells it is a heading inside the table."""

    label: str
    cells: tuple[str, ...] = ()


def table(header: Sequence[str], lines: Iterable[Line]) -> list[str]:
    """Aligned lines of at most WIDTH columns: label left, cells right.

    A label too long for its column stands on lines of its own above its numbers: nothing is cut off.
    """
    body = list(lines)
    rows = [tuple(header), *(line.cells for line in body if line.cells)]
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(len(header))]
    longest = max((len(clean(line.label)) for line in body if line.cells), default=0)
    room = max(min(WIDTH - sum(widths), longest), min(_LEAST_LABEL, longest))

    def numbers(cells: Sequence[str]) -> str:
        return "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))

    printed = [" " * room + numbers(header)]
    for line in body:
        label = clean(line.label)
        if not line.cells:
            printed += wrap(label)
        elif len(label) <= room:
            printed.append(label.ljust(room) + numbers(line.cells))
        else:
            printed += [*wrap(label), " " * room + numbers(line.cells)]
    return printed


def wrap(text: str, hang: int = 4) -> list[str]:
    """*text* wrapped at WIDTH; following lines are indented by its own indent + *hang*."""
    text = clean(text)
    indent = len(text) - len(text.lstrip(" "))
    following = " " * min(indent + hang, WIDTH // 2)
    return textwrap.wrap(text, WIDTH, subsequent_indent=following, break_on_hyphens=False) or [""]


def mailable(lines: Iterable[str]) -> str:
    """The final text: every line ASCII, at most WIDTH columns, none that ``git am`` would cut at."""
    printed: list[str] = []
    for line in lines:
        whole = clean(line).rstrip()
        if whole.startswith(CUT_HERE):
            whole = " " + whole
        printed += [whole] if len(whole) <= WIDTH else wrap(whole)
    return "\n".join(printed) + "\n"
