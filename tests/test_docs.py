"""The documents: what they point at is there, and what they count is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lab
from lab import registry
from lab.unwind.host import STEP_BUDGET
from lab.verdict import Doubt, Verdict
from tests.console import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "results/README.md"])
DEFINITIONS = (ROOT / "docs/definitions.md").read_text(encoding="utf-8")
EXAMPLES = {
    "lab/unwind/fp_lr.py",
    "lab/images/corpus/collatz.c",
    "lab/proposals/leafframes.py",
    "rewriters/flavours/parallel_cleared.py",
}
_FILE = re.compile(r"`((?:lab|rewriters|tests|docs|results)/[\w./-]+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def test_the_documents_are_there() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert names >= {
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/definitions.md",
        "docs/design.md",
        "docs/engine.md",
        "docs/limits.md",
        "docs/exit-codes.md",
        "results/README.md",
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_links_they_name_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = {ROOT / name for name in _FILE.findall(text) if name not in EXAMPLES and "RUN-ID" not in name}
    named |= {path.parent / link for link in _LINK.findall(text)}
    assert [str(found.relative_to(ROOT)) for found in sorted(named) if not found.exists()] == []
    assert text.isascii()


def test_every_definition_names_the_test_that_checks_it() -> None:
    """Headings, the table, lists and what is announced as not modelled stand without one; paragraphs do not."""
    parts = re.split(r"\n{2,}", DEFINITIONS)
    start = next(i for i, part in enumerate(parts) if part.startswith("## Truth"))
    plain = [p for p in parts[start:] if not re.match(r"#|\||\d\.|Not modelled yet", p)]
    assert len(plain) >= 20
    assert [part[:60] for part in plain if not re.search(r"Test:\s+`tests/", part)] == []


def test_the_verdicts_are_the_codes() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", DEFINITIONS, re.MULTILINE)
    assert sorted(rows) == sorted(verdict.value for verdict in Verdict)
    assert all(f"**{doubt.value}**" in DEFINITIONS for doubt in Doubt if doubt.value)
    assert f"more than {STEP_BUDGET} steps" in DEFINITIONS


def test_every_stop_mode_and_unwinder_is_defined() -> None:
    assert all(f"**{mode}**" in DEFINITIONS for mode in registry.names().modes)
    assert all(f"`{name}`" in DEFINITIONS for name in registry.names().unwinders)


def test_the_changelog_is_about_this_version_and_counts_the_corpus() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{lab.__version__}]" in text
    numbers = re.search(r"corpus of\s+(\d+) workloads, (\d+) of them on musl", text)
    assert numbers is not None
    from lab.images.workloads import all_workloads

    workloads = all_workloads()
    assert (int(numbers[1]), int(numbers[2])) == (len(workloads), sum(w.foreign for w in workloads))
    assert all(f"`{name}`" in text for name in registry.names().unwinders)


def test_the_changelog_names_every_command() -> None:
    from lab.cli import COMMANDS

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`{name}`" not in text] == []


def test_the_design_lists_every_folder() -> None:
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    folders = [path.parent.relative_to(ROOT) for path in ROOT.glob("lab/*/__init__.py")]
    assert len(folders) > 10
    assert [str(folder) for folder in folders if f"    {folder}/" not in text] == []


def test_every_exit_code_is_documented() -> None:
    from lab import cli, errors

    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    codes |= {0, cli.INTERNAL_FAULT, cli.INTERRUPTED}
    listed = re.findall(r"^\| (\d+) \|", (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(code) for code in listed} == codes
