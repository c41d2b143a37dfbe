"""``python -m tests.refresh_readme``: run every example of the documents in FILES, and the demo, and put what they
print now in place of what is shown.  Says what it changed; read the difference before committing it.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from tests.console import ROOT, blocks, matches, renewed, run, steps
from tests.demo import BEGIN, END, EXCERPTS, excerpt, run_demo

FILES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/cost.md",
    "docs/exit-codes.md",
    "docs/explorer.md",
    "docs/gates.md",
    "docs/mutation.md",
)
_RUN_ID = re.compile(r"unwindlab rerun ([0-9a-f]{12})")


def main() -> int:
    """Refresh both files."""
    for name in FILES:
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory(prefix="unwindlab-readme-") as folder:
            new = _demo(_examples(old, Path(folder)), Path(folder))
        path.write_text(new, encoding="utf-8")
        print(f"{name}: {'refreshed' if new != old else 'up to date'}")
    return 0


def _examples(text: str, folder: Path) -> str:
    """*text* with the output of every example renewed.  A run id that changes is renamed in all of the text."""
    number = 0
    while number < len(blocks(text)):
        block = blocks(text)[number]
        number += 1
        done: list[str] = []
        for step in steps(block):
            got, status = run(step.command, folder)
            if status:
                print(f"line {step.line}: exit status {status}: {step.command}\n  " + "\n  ".join(got[-3:]))
            if step.shown is None:
                continue
            lines = list(step.shown) if matches(step.shown, got) else renewed(step.shown, got)
            done += ["$ " + step.command.replace("\n", "\n> "), *lines]
            was, now = (_RUN_ID.findall("\n".join(shown)) for shown in (step.shown, got))
            if was and now and was[0] != now[0]:
                return _examples(text.replace(was[0], now[0]), folder)
        if block.language == "console":
            text = text[: block.start] + "\n".join(done) + "\n" + text[block.end :]
    return text


def _demo(text: str, folder: Path) -> str:
    parts = re.split(f"({re.escape(BEGIN)}.*?{re.escape(END)})", text, flags=re.DOTALL)
    if len(parts) == 1:
        return text
    output = run_demo(folder).output
    for number, (begin, paragraphs) in enumerate(EXCERPTS):
        parts[2 * number + 1] = f"{BEGIN}\n```text\n{excerpt(output, begin, paragraphs)}```\n{END}"
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
