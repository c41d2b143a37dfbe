"""``python -m tests.conformance.refresh``: put the table of the committed run into the documents that show it."""

from __future__ import annotations

from pathlib import Path

from lab.conformance.requirements import REQUIREMENTS
from lab.conformance.table import Table
from lab.conformance.text import markdown
from lab.store import load_run
from tests.console import ROOT
from tests.make_reference import REFERENCE

BEGIN, END = "<!-- conformance:begin -->\n", "<!-- conformance:end -->"
FILES = tuple(ROOT / name for name in ("docs/conformance.md", "README.md"))
"""README.md shows it only where it has the two marks."""


def committed() -> Table:
    """The table of the run in results/reference."""
    (folder,) = (path.parent for path in REFERENCE.glob("*/run.json"))
    return Table([load_run(folder, [])], REQUIREMENTS)


def shown(path: Path) -> str | None:
    """What stands between the marks in a document; None without them."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text:
        return None
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def wanted(path: Path, table: Table) -> str:
    """What is to stand there: all of it, or for README.md the rows that arm64's stops say something about."""
    whole = markdown(table)
    if path.name != "README.md":
        return whole
    said, arm64, *_ = whole.split("\n\n")
    lines = arm64.splitlines()
    answered = [line for line in lines[2:] if set(line.split(" | ")[2:]) & {"H", "h", "**V**", "H |", "h |", "**V** |"}]
    return "\n".join([said, "", *lines[:2], *answered, ""])


def main() -> int:
    """Refresh every document."""
    table = committed()
    for path in FILES:
        old, new = shown(path), wanted(path, table)
        if old is not None and old != new:
            path.write_text(path.read_text(encoding="utf-8").replace(BEGIN + old, BEGIN + new), encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: refreshed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
