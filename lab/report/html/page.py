"""The explorer's file: a table anyone can read, and behind it compressed data with the script that shows them.

The names in it come from untrusted ELF files.  The table is escaped by Jinja2; the script sets text and nothing
else; and the page's policy (CSP level 3) lets the browser fetch nothing and run nothing but that script.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from lab.report.costs import heading
from lab.report.html.data import page_data
from lab.report.sums import GroupSums, Sum, group_sums
from lab.report.text import count, share
from lab.report.unsupported import unsupported
from lab.report.verdicts import MODES
from lab.store.document import Run
from lab.store.rows import VERDICTS, RunResult

SCRIPTS = ("explorer_model.js", "explorer_grid.js", "explorer_panes.js", "explorer.js")
"""One script, in the order of its parts."""


@dataclass(frozen=True)
class Cell:
    """One verdict of one row of a table: its share, and the counts behind it."""

    verdict: str
    text: str
    stops: int


@dataclass(frozen=True)
class Row:
    """One proposal and unwinder."""

    proposal: str
    unwinder: str
    cells: tuple[Cell, ...]
    stops: int
    covers: str
    pcs: str
    first: bool
    """Whether the proposal is another than in the row above."""


@dataclass(frozen=True)
class Table:
    """One architecture, compiler and stop mode."""

    arch: str
    compiler: str
    mode: str
    title: str
    about: str
    extent: str
    rows: tuple[Row, ...]


def explorer(run: Run) -> bytes:
    """The page of *run*, UTF-8; the same bytes for the same run and the same zlib."""
    data = page_data(run)
    text = json.dumps(data, separators=(",", ":"))
    css, script = _asset("explorer.css"), _script()
    page: str = _template().render(
        run=run,
        found=run.result,
        tables=_tables(run.result),
        verdicts=VERDICTS,
        compilers=", ".join(f"{c.get('name')} {c.get('version')}" for c in run.result.compilers),
        unsupported=_entries(unsupported(run.result.cells)[2:]),
        left_out=data["left_out"],
        css=Markup(css),
        script=Markup(script),
        policy=f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(css)}; base-uri 'none'; "
        "form-action 'none'",
        data=Markup(base64.b64encode(gzip.compress(text.encode("ascii"), 9, mtime=0)).decode("ascii")),
    )
    return page.encode("utf-8", "backslashreplace")


def payload(page: bytes) -> dict[str, Any]:
    """The data that *page* holds."""
    found: dict[str, Any] = json.loads(_packed(page)[1])
    return found


def unpacked(page: bytes) -> bytes:
    """*page* with its data as plain JSON: what two pages of one run have in common whatever zlib packed them."""
    return b"".join(_packed(page))


def _packed(page: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the data, the data unpacked, and the rest."""
    before, mark, rest = page.partition(b'<script type="application/gzip" id="data">')
    data, end, after = rest.partition(b"<")
    return before + mark, gzip.decompress(base64.b64decode(data)), end + after


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _script() -> str:
    return '"use strict";\n(() => {\n' + "".join(_asset(name) for name in SCRIPTS) + "})();\n"


@cache
def _asset(name: str) -> str:
    return (files("lab.report.html") / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    made = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return made.get_template("explorer.html")


def _entries(lines: Sequence[str]) -> list[str]:
    """Wrapped lines as whole entries again: the first of each is indented by one space."""
    entries: list[str] = []
    for line in lines:
        if line.startswith("  ") and entries:
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
    return entries


def _tables(found: RunResult) -> list[Table]:
    groups = group_sums(found.cells, found.verdicts)
    return [_table(group, found) for group in groups if group.sums]


def _table(group: GroupSums, found: RunResult) -> Table:
    arch, compiler, mode = group.group
    stops, pcs = (sum(image[i] for image in group.images.values()) for i in (0, 1))
    sums = [item for proposal in group.proposals for item in group.of(proposal)]
    before: Sequence[Sum | None] = [None, *sums]
    return Table(
        arch=arch,
        compiler=compiler,
        mode=mode,
        title=f"{heading(arch, compiler, found)}, {mode} stops",
        about=MODES.get(mode, ""),
        extent=f"{count(len(group.images), 'image')}, {stops:,} stops, {pcs:,} PCs",
        rows=tuple(
            _row(item, last is None or last.proposal != item.proposal) for last, item in zip(before, sums, strict=False)
        ),
    )


def _row(item: Sum, first: bool) -> Row:
    return Row(
        proposal=item.proposal,
        unwinder=item.unwinder,
        cells=tuple(Cell(v, share(item.verdicts[v], item.stops), item.verdicts[v]) for v in VERDICTS),
        stops=item.stops,
        covers=share(item.covers, item.stops),
        pcs=f"{item.missing_pcs:,} in {item.missing_functions:,} fn" if item.missing_pcs else "0",
        first=first,
    )
