"""README.md and the other documents with examples: every command runs, and what is shown is what it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.console import ELLIPSIS, ROOT, Step, blocks, matches, renewed, run, steps
from tests.demo import BEGIN, END, EXCERPTS, reference
from tests.refresh_readme import FILES, with_reference
from tests.shared import SHARED, run_shared

README = (ROOT / "README.md").read_text(encoding="utf-8")
HOW_TO_MEND = "read the difference; if the program is right, run python -m tests.refresh_readme"


@pytest.mark.parametrize("name", FILES)
def test_every_example_runs_and_prints_what_is_shown(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wrong = []
    count = 0
    for block in blocks((ROOT / name).read_text(encoding="utf-8")):
        for step in steps(block):
            count += 1
            shared = step.command in SHARED
            done = run_shared(step.command, tmp_path_factory) if shared else run(step.command, tmp_path)
            wrong += _problem(name, step, *done)
    assert count
    assert not wrong, "\n".join([*wrong, HOW_TO_MEND])


def _problem(name: str, step: Step, got: list[str], status: int) -> list[str]:
    where = f"{name}:{step.line}: {step.command}"
    if status:
        return [f"{where}: exit status {status}", *got[-5:]]
    if step.shown is not None and not matches(step.shown, got):
        return [f"{where}: prints something else than shown:", *got[:60]]
    return []


def test_readme_shows_the_reference_run() -> None:
    """``tests/test_reference.py`` holds that run against today's demo."""
    assert with_reference(README) == README, "run make reference, or python -m tests.refresh_readme"
    shown = re.findall(f"{re.escape(BEGIN)}\n```text\n(.*?)```\n{re.escape(END)}", README, re.DOTALL)
    mail = (reference() / "mail.txt").read_text(encoding="ascii")
    assert len(shown) == len(EXCERPTS)
    assert all(text in mail for text in shown), "an excerpt is one contiguous part"
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((ROOT / picture).is_relative_to(reference()) and (ROOT / picture).is_file() for picture in pictures)
    assert max(README.index(BEGIN), README.index(pictures[0])) < README.index("\n## ")


def test_the_order_of_flavours_is_the_one_that_docs_cost_has() -> None:
    (text,) = (block.text for block in blocks(README) if "NOP fill under detour" in block.text)
    shown = [line for line in text.splitlines() if line != ELLIPSIS]
    lines = (ROOT / "docs/cost.md").read_text(encoding="utf-8").splitlines()
    places = [lines.index(line) for line in shown]
    assert len(shown) > 8 and places == sorted(places)


def test_readme_is_short_and_plain() -> None:
    shown = sum(len(block.text.splitlines()) for block in blocks(README))
    shown += sum(line.startswith("|") for line in README.splitlines())
    assert len(README.splitlines()) - shown <= 155, "of its own, without tables and examples"
    assert README.isascii()


def test_readme_names_every_command() -> None:
    from lab.cli import COMMANDS

    assert not [name for name in COMMANDS if f"unwindlab {name}" not in README]


@pytest.mark.parametrize(
    ("shown", "got", "fits"),
    [
        (("a", "b"), ["a", "b", ""], True),
        (("a",), ["a", "b"], False),
        (("a", "...", "d"), ["a", "b", "c", "d"], True),
        (("a", "...", "d"), ["a", "d"], True),
        (("a", "..."), ["b"], False),
        (("x.y",), ["xzy"], False),
        (("a ... d",), ["a b c d"], True),
        (("a ... d",), ["a b c"], False),
        ((), ["a"], False),
    ],
)
def test_comparing_shown_with_printed(shown: tuple[str, ...], got: list[str], fits: bool) -> None:
    assert matches(shown, got) is fits


def test_refreshing_keeps_the_pieces_that_are_shown() -> None:
    shown = ("one 1", "...", "five 5", "six 6", "...", "nine 9")
    got = ["one 2", "two 2", "three 2", "five 2", "six 2", "seven 2", "nine 2"]
    new = renewed(shown, got)
    assert new == ["one 2", "...", "five 2", "six 2", "...", "nine 2"]
    assert matches(tuple(new), got)


def test_a_console_block_is_commands_with_their_output() -> None:
    text = "x\n```console\n$ cat <<E\n> in\n> E\nin\n$ true\n```\n"
    (block,) = blocks(text)
    assert [(s.command, s.shown) for s in steps(block)] == [("cat <<E\nin\nE", ("in",)), ("true", ())]
