"""The examples of README.md and CONTRIBUTING.md: found, run as a reader would, and compared or refreshed.

A ``sh`` block is commands; a ``console`` block is ``$ command`` lines (continued by ``> `` lines), each with
the output it shows.  A line ``...`` stands for any number of lines left out, `` ... `` within a line for
what differs from machine to machine.  The blocks of a file run in
order in one folder, each command in a shell of its own.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
ELLIPSIS = "..."
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and where the text lies in the file."""

    language: str
    text: str
    start: int
    end: int
    line: int


@dataclass(frozen=True)
class Step:
    """One command and the lines shown below it (None in a ``sh`` block: output is not shown).  ``source``: the
    command's own lines as they stand in a console block."""

    command: str
    shown: tuple[str, ...] | None
    line: int
    source: tuple[str, ...] = ()


def blocks(text: str) -> list[Block]:
    """Every fenced block of a Markdown file."""
    found = _FENCE.finditer(text)
    return [Block(m[1], m[2], m.start(2), m.end(2), text.count("\n", 0, m.start(2)) + 1) for m in found]


def steps(block: Block) -> list[Step]:
    """The commands of a ``sh`` or ``console`` block; none of any other."""
    lines = block.text.splitlines()
    if block.language == "sh":
        commands = [(i, line.partition(" #")[0].strip()) for i, line in enumerate(lines)]
        return [Step(command, None, block.line + i) for i, command in commands if command]
    if block.language != "console":
        return []
    return list(_console(lines, block.line))


def _console(lines: list[str], first: int) -> Iterator[Step]:
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"line {first}: a console block begins with '$ '"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        command, rest = [lines[start][2:]], lines[start + 1 : end]
        while rest and rest[0].startswith(">"):
            command.append(rest.pop(0)[1:].removeprefix(" "))
        source = tuple(lines[start : start + len(command)])
        yield Step("\n".join(command), tuple(rest), first + start, source)


def environment() -> dict[str, str]:
    """A reader's environment: this interpreter's commands first on the PATH, this checkout imported, no colour."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def run(command: str, folder: Path) -> tuple[list[str], int]:
    """(lines of standard output and error as they came, exit status).

    ``make`` is asked only what it would do, and of pytest only the paths are looked for: both would run these
    examples again.
    """
    words = command.split()
    if words[0] == "make":
        command, folder = f"make --dry-run {' '.join(words[1:])}", ROOT
    elif "pytest" in words:
        absent = [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()]
        return [f"no {path}" for path in absent], len(absent)
    elif "tests.refresh_readme" in words:
        return [], 0
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_TIMEOUT_S,
        check=False,
        text=True,
    )
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return [line for line in lines if not _progress(line)], done.returncode


def _progress(line: str) -> bool:
    """A progress line, which comes only where a run takes long."""
    return re.match(r"unwindlab: \d+/\d+ ", line) is not None


def matches(shown: tuple[str, ...], got: list[str]) -> bool:
    """Whether *got* is what is shown, empty lines at the end apart."""
    pattern = "".join(_pattern(line) for line in _trimmed(list(shown)))
    return re.fullmatch(pattern, "".join(line + "\n" for line in _trimmed(got))) is not None


def _pattern(line: str) -> str:
    if line == ELLIPSIS:
        return r"(?:.*\n)*?"
    return r" .*".join(re.escape(piece) for piece in line.split(f" {ELLIPSIS}")) + r"\n"


def renewed(shown: tuple[str, ...], got: list[str]) -> list[str]:
    """*shown* with today's lines in place of the old ones: the same pieces, as far as they can be found again."""
    got = _trimmed(got)
    pieces = _pieces(_trimmed(list(shown)))
    if len(pieces) == 1:
        old = pieces[0]
        return [elided(*pair) for pair in zip(old, got, strict=True)] if len(old) == len(got) else got
    lines: list[str] = []
    at = 0
    for number, piece in enumerate(pieces):
        if number:
            lines.append(ELLIPSIS)
        if not piece:
            continue
        if number == len(pieces) - 1:
            at = len(got) - len(piece)
        elif number:
            at = _nearest(piece[0], got, at)
        lines += [elided(old, new) for old, new in zip(piece, got[at : at + len(piece)], strict=False)]
        at += len(piece)
    return lines


def elided(old: str, new: str) -> str:
    """*new* with what *old* leaves out (`` ... ``) left out again, if the two differ in digits alone; else *new*."""
    plain, fresh = re.sub(r"\d+", "0", old), re.sub(r"\d+", "0", new)
    if f" {ELLIPSIS}" not in old or re.fullmatch(_pattern(plain), fresh + "\n") is None:
        return new
    parts = [re.sub(r"\d+", r"\\d+", re.escape(part)) for part in old.split(f" {ELLIPSIS}")]
    kept = re.fullmatch(" .*".join(f"({part})" for part in parts), new)
    return f" {ELLIPSIS}".join(kept.groups()) if kept else new


def _pieces(lines: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for line in lines:
        if line == ELLIPSIS:
            found.append([])
        else:
            found[-1].append(line)
    return found


def _nearest(line: str, got: list[str], start: int) -> int:
    """The index, from *start*, of the line most like *line*, digits apart; the first of equals."""

    def alike(other: str) -> float:
        return difflib.SequenceMatcher(None, re.sub(r"\d", "0", line), re.sub(r"\d", "0", other)).ratio()

    return max(range(start, len(got)), key=lambda i: (alike(got[i]), -i), default=start)


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines
