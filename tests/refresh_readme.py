"""``python -m tests.refresh_readme [FILE...]``: run every example of the documents in FILES (or those named) and put
what they print now in place of what is shown; then renew what the documents show of the reference run, count and list.

Output that fits what is shown stays as it is, elided parts and all; commands are never rewritten.  A line that has
elided parts (`` ... ``) keeps them where the rest of it is the same but for digits.  Read the difference before
committing it.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import registry
from lab.images.workloads import all_workloads
from tests.console import ROOT, blocks, matches, renewed, run, steps
from tests.demo import BEGIN, END, EXCERPTS, excerpt, reference

FILES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/cost.md",
    "docs/exit-codes.md",
    "docs/explorer.md",
    "docs/gates.md",
    "docs/mutation.md",
    "docs/sampling.md",
    "docs/tutorial.md",
)
DESIGNS = ("<!-- designs:begin -->", "<!-- designs:end -->")
_COUNTS = re.compile(r"corpus of(\s+)\d+ workloads, \d+ of them on musl")
_PICTURE = re.compile(r"(!\[[^\]]+\]\()results/reference/\w+/")
_RUN_ID = re.compile(r"unwindlab rerun ([0-9a-f]{12})")


def main(names: Sequence[str]) -> int:
    """Refresh the files *names*, all of FILES without one, and what the documents count and list."""
    for name in names or FILES:
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory(prefix="unwindlab-readme-") as folder:
            new = with_reference(_examples(old, Path(folder)))
        path.write_text(new, encoding="utf-8")
        print(f"{name}: {'refreshed' if new != old else 'up to date'}")
    _rewrite(ROOT / "CHANGELOG.md", lambda text: _COUNTS.sub(_counted, text))
    _rewrite(ROOT / "docs/models.md", _designs)
    return 0


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    old = path.read_text(encoding="utf-8")
    new = change(old)
    path.write_text(new, encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {'refreshed' if new != old else 'up to date'}")


def _counted(found: re.Match[str]) -> str:
    workloads = all_workloads()
    return f"corpus of{found[1]}{len(workloads)} workloads, {sum(w.foreign for w in workloads)} of them on musl"


def design_table() -> str:
    """The Markdown table of every built-in unwinder: name, title, what it follows, architectures."""
    rows = ["| unwinder | what it is | follows | architectures |", "|---|---|---|---|"]
    for item in registry.all_unwinders():
        where = ", ".join(sorted(item.arches)) if item.arches else "both"
        rows.append(f"| `{item.name}` | {item.title} | {item.source} | {where} |")
    return "\n".join(rows) + "\n"


def _designs(text: str) -> str:
    begin, end = DESIGNS
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{design_table()}{end}", text, flags=re.DOTALL)


def _examples(text: str, folder: Path) -> str:
    """*text* with the output of every example renewed.  A run id that changes is renamed in all of the text, also
    in the commands that follow; it is as long as the old one, so blocks stay where they are."""
    for number in range(len(blocks(text))):
        text = _block(text, number, folder)
    return text


def _block(text: str, number: int, folder: Path) -> str:
    """*text* with the output of its block *number* renewed.  What a command that fails prints is not taken over."""
    done: list[str] = []
    for at in range(len(steps(blocks(text)[number]))):
        step = steps(blocks(text)[number])[at]
        got, status = run(step.command, folder)
        if status:
            print(f"line {step.line}: exit status {status}: {step.command}\n  " + "\n  ".join(got[-3:]))
        was, now = (_RUN_ID.findall("\n".join(lines)) for lines in (step.shown or (), got))
        if was and now and not status:
            text = text.replace(was[0], now[0])
            step = steps(blocks(text)[number])[at]
        shown = step.shown or ()
        done += [*step.source, *(shown if status or matches(shown, got) else renewed(shown, got))]
    block = blocks(text)[number]
    if block.language != "console":
        return text
    return text[: block.start] + "\n".join(done) + "\n" + text[block.end :]


def with_reference(text: str) -> str:
    """*text* with the excerpts and pictures of the reference run as it is kept now."""
    kept = reference()
    text = _PICTURE.sub(rf"\1results/reference/{kept.name}/", text)
    parts = re.split(f"({re.escape(BEGIN)}.*?{re.escape(END)})", text, flags=re.DOTALL)
    if len(parts) == 1:
        return text
    output = (kept / "mail.txt").read_text(encoding="ascii")
    for number, (begin, paragraphs) in enumerate(EXCERPTS):
        parts[2 * number + 1] = f"{BEGIN}\n```text\n{excerpt(output, begin, paragraphs)}```\n{END}"
    return "".join(parts)


def refresh_reference() -> None:
    """README.md with what the reference run says; ``make reference`` does it, too."""
    _rewrite(ROOT / "README.md", with_reference)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
