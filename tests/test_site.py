"""The documentation's site: it builds without a warning and asks no other host, and its reference is the code's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from docs import generated
from lab import registry
from lab.cli import COMMANDS, cli
from lab.experiment import Experiment
from tests.console import ROOT
from tests.refresh_readme import design_table

JSON = (ROOT / "docs/reference/json.md").read_text(encoding="utf-8")


class Fetches(HTMLParser):
    """Every address of a page that a browser would ask for by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Links that a reader must click (``a``) are no fetches."""
        values = dict(attrs)
        if tag != "a":
            self.found += [values[key] or "" for key in ("src", "href", "srcset", "data", "poster") if key in values]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(folder / "trees")]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(folder / "html")],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return folder / "html"


def test_every_document_is_a_page(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        built = site / page.relative_to(ROOT / "docs").with_suffix(".html")
        assert "<h1>" in built.read_text(encoding="utf-8"), page.name


def test_no_page_asks_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        reader = Fetches()
        reader.feed(page.read_text(encoding="utf-8"))
        assert reader.found
        assert not [url for url in reader.found if re.match(r"(\w+:)?//", url)], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


def test_the_reference_has_every_command_option_and_key(site: Path) -> None:
    text = (site / "reference/commands.html").read_text(encoding="utf-8")
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert f"Usage: unwindlab {name}" in text
        options = [opt for param in command.params if isinstance(param, click.Option) for opt in param.opts]
        assert [opt for opt in options if opt not in text] == []
    keys = (site / "reference/experiment.html").read_text(encoding="utf-8")
    assert [key for key in Experiment.model_fields if f">{key}<" not in keys] == []
    assert [key for key in Experiment.model_fields if f"| `{key}` |" not in generated.experiment()] == []


def test_every_json_output_is_described() -> None:
    listed = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (.*) \|$", JSON, re.MULTILINE)
    named = {name for commands, _ in listed for name in re.findall(r"`(\w+)`", commands)}
    context = click.Context(cli)
    takes = {n for n in COMMANDS if any("--json" in p.opts for p in getattr(cli.get_command(context, n), "params", ()))}
    assert named == takes


def test_a_described_key_is_printed() -> None:
    done = CliRunner().invoke(cli, ["list", "--json"])
    row = re.search(r"^\| `list` \| (.*) \|$", JSON, re.MULTILINE)
    assert row is not None
    assert re.findall(r"`(\w+)`", row[1]) == list(json.loads(done.stdout))
    sources = "".join(p.read_text(encoding="utf-8") for d in ("lab", "rewriters") for p in (ROOT / d).rglob("*.py"))
    cells = re.findall(r"^\| `.*?\| (.*) \|$", JSON, re.MULTILINE)
    keys = {key.removeprefix("added_") for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    assert [key for key in sorted(keys) if f'"{key}"' not in sources and f"    {key}:" not in sources] == []


def test_the_models_page_is_the_registry() -> None:
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert design_table() in text, "run python -m tests.refresh_readme"
    assert all(f"`{item.name}`" in text and item.source in text for item in registry.all_unwinders())


def test_every_design_says_its_equation_and_source() -> None:
    text = generated.designs() + generated.rules()
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    names = {name for section in sections for name in section.splitlines()[0].split(", ")}
    assert names == set(registry.names().unwinders) | set(registry.names().rules)
    plain = [section for section in sections if not section.startswith("oracle")]
    assert [s.splitlines()[0] for s in plain if "Source:" not in s] == []
    assert [s.splitlines()[0] for s in plain if "```text\n" not in s and "quation" not in s] == []


def test_a_docstring_becomes_markdown() -> None:
    assert (
        generated.markdown("A ``b``::\n\n    x = y\n\n    z\nEnd.")
        == "A `b`:\n\n```text\n    x = y\n\n    z\n```\n\nEnd."
    )
    page = ROOT / "docs/models.md"
    text = "[a](limits.md) [b](../README.md) [c](https://x)"
    assert generated.without_links_outside(text, page, ROOT / "docs") == "[a](limits.md) `b` [c](https://x)"
