"""The parts of the site that are facts of the code: commands, keys, designs.  It needs no Sphinx."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from lab import registry
from lab.cli import COMMANDS, cli
from lab.experiment import Experiment
from lab.unwind.api import Unwinder
from lab.unwind.rules.api import Rule

SHARED = ("by_rule", "kunwind", "shadow", "x86_frames")
"""Modules of lab.unwind that the designs' texts name for an equation they share."""
_HERE = Path(__file__).parent
_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def filled(text: str) -> str:
    """*text* with each line ``<!-- generated: NAME -->`` replaced by that part.  KeyError for an unknown name."""
    return _MARK.sub(lambda mark: PARTS[mark[1]](), text)


def without_links_outside(text: str, page: Path, site: Path) -> str:
    """*text* of *page* with links to files that are no page of *site* shown as the file's name alone."""

    def one(link: re.Match[str]) -> str:
        target = (page.parent / link[2]).resolve()
        inside = target.is_relative_to(site.resolve()) and target.suffix == ".md"
        return link[0] if inside else f"`{link[1].strip('`')}`"

    return _LINK.sub(one, text)


def commands() -> str:
    """A section for each command: its help, usage, arguments and options, from click."""
    with click.Context(cli, info_name="unwindlab") as context:
        return "\n".join(_command(name, context) for name in COMMANDS)


def _command(name: str, context: click.Context) -> str:
    command = cli.get_command(context, name)
    assert command is not None, name
    with click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100) as inner:
        return f"## {name}\n\n```text\n{inner.get_help()}\n```\n"


def experiment() -> str:
    """The table of an experiment's keys: type, default and option of ``run``."""
    rows = ["| key | type | default | option of `run` |", "|---|---|---|---|"]
    for key, field in Experiment.model_fields.items():
        value = field.get_default(call_default_factory=True)
        rows.append(f"| `{key}` | {_type(field.annotation)} | `{_toml(value)}` | {_option(key)} |")
    return "\n".join(rows)


def _type(annotation: object) -> str:
    choices = getattr(annotation, "__args__", ())
    if getattr(annotation, "__origin__", None) is list:
        return "list of names"
    return " or ".join(f"`{choice}`" for choice in choices) or getattr(annotation, "__name__", str(annotation))


def _toml(value: object) -> str:
    if isinstance(value, list):
        return str(value).replace("'", '"')
    return f'"{value}"' if isinstance(value, str) else str(value)


def _option(key: str) -> str:
    """The option that says the same, as click knows it."""
    run = cli.get_command(click.Context(cli), "run")
    assert run is not None
    found = [p.opts[-1] for p in run.params if isinstance(p, click.Option) and p.name == key]
    return f"`{found[0]}`" if found else "the file as an argument" if key == "files" else "-"


def designs() -> str:
    """A section for each built-in unwinder, its equation and source, as its file says them."""
    return "\n".join(_section(item.name, _module_of(item)) for item in registry._built_in_unwinders())


def rules() -> str:
    """A section for each file of rules."""
    modules: dict[str, list[str]] = {}
    for item in registry._built_in_rules():
        modules.setdefault(_module_of(item), []).append(item.name)
    return "\n".join(_section(", ".join(names), module) for module, names in modules.items())


def shared() -> str:
    """A section for each module that several designs' texts refer to."""
    return "\n".join(_section(name, f"lab.unwind.{name}") for name in SHARED)


def _module_of(part: Unwinder | Rule) -> str:
    """The module that defines *part*: where its first function was written."""
    for value in (getattr(part, name, None) for name in ("start", "begin", "step")):
        if inspect.isfunction(value):
            return value.__module__
    raise LookupError(part.name)


def _section(title: str, module: str) -> str:
    text = inspect.getdoc(importlib.import_module(module)) or ""
    return f"### {title}\n\n`{module.replace('.', '/')}.py`\n\n{markdown(text)}\n"


def markdown(text: str) -> str:
    """A docstring as Markdown: ``::`` blocks fenced, double backquotes single; *text* has no further markup."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        indented = line.startswith("    ")
        if fenced and line and not indented:
            while lines and not lines[-1]:
                lines.pop()
            lines += ["```", ""]
            fenced = False
        if not fenced and indented and _announces(lines):
            lines += ["```text"]
            fenced = True
        lines.append(line if fenced else line.replace("``", "`"))
    if fenced:
        lines.append("```")
    return "\n".join(line[:-1] if line.endswith("::") else line for line in lines)


def _announces(lines: Iterable[str]) -> bool:
    """Whether the last line that is not empty ends with ``::``, as what stands before a block does."""
    said = [line for line in lines if line]
    return bool(said) and said[-1].endswith("::")


def others() -> str:
    """Pages that the index does not name, so that each is on the site."""
    named = (_HERE / "index.md").read_text(encoding="utf-8").split()
    return "\n".join(sorted(page.stem for page in _HERE.glob("*.md") if page.stem not in (*named, "index")))


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "experiment": experiment,
    "designs": designs,
    "rules": rules,
    "shared": shared,
    "others": others,
}
"""What a page can ask for."""
