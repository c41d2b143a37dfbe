"""What to run: proposals x workloads x architectures x compilers x stop modes, from TOML and from options.

An empty list means everything.  All mistakes are reported at once, one line each, with the file and line
(or the option) they stand in and a "did you mean".  Names are checked against the registry handed in, so
this module imports nothing heavy.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.arch import arch_by_name
from lab.errors import InputError

NAME_LISTS = ("arches", "compilers", "workloads", "proposals", "unwinders", "modes")
"""The keys that hold lists of names; each is also an option of ``run`` in the singular."""

Names = Annotated[list[Annotated[str, Field(strict=True, min_length=1)]], Field(strict=True)]


class Registry(Protocol):
    """What exists: ``lab.registry.names()``.  A workload is (name, rows of field.md, title)."""

    @property
    def workloads(self) -> Sequence[tuple[str, Sequence[int], str]]: ...
    @property
    def proposals(self) -> Sequence[str]: ...
    @property
    def unwinders(self) -> Sequence[str]: ...
    @property
    def rules(self) -> Sequence[str]: ...
    @property
    def rewriters(self) -> Sequence[str]: ...
    @property
    def compilers(self) -> Sequence[str]: ...
    @property
    def arches(self) -> Sequence[str]: ...
    @property
    def modes(self) -> Sequence[str]: ...


class Experiment(BaseModel):
    """One experiment.  Budgets are per execution: instructions retired, and seconds of wall clock.

    ``stacks`` is the number of differing stacks kept per cell.  An unwinder may be a path to a Python file.
    ``files``: the user's files (lab.plugin) whose parts are known by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    arches: Names = []
    compilers: Names = ["clang"]
    workloads: Names = []
    proposals: Names = []
    unwinders: Names = []
    modes: Names = ["boundary", "call"]
    size: Literal["small", "large"] = "large"
    max_instructions: int = Field(default=50_000_000, strict=True, ge=1, lt=2**63)
    max_seconds: float = Field(default=120.0, strict=True, gt=0, allow_inf_nan=False)
    stacks: int = Field(default=8, strict=True, ge=0, lt=2**31)
    seed: int = Field(default=1, strict=True, ge=0, lt=2**63)
    files: Names = []

    def canonical(self) -> str:
        """Stable JSON text: sorted keys, no spaces.  Equal experiments have equal texts."""
        values = self.model_dump(mode="json", exclude=None if self.files else {"files"})  # ids are older than files
        return json.dumps(values, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Source:
    """Where values came from, to say so in a message: a TOML file (name and text), options, a stored run; ``proposed``:
    key -> the user's file whose EXPERIMENT says so."""

    file: str | None = None
    text: str = ""
    options: frozenset[str] = frozenset()
    run: str | None = None
    proposed: Mapping[str, str] = field(default_factory=dict)

    def place(self, key: str, value: str | None = None) -> str:
        """``file:line`` of *value* in the list *key*, or ``--option``, or the run."""
        if self.run is not None:
            return self.run
        if key in self.proposed:
            return f"{self.proposed[key]}: EXPERIMENT"
        if key in self.options or self.file is None:
            return "--" + (_singular(key) if key in NAME_LISTS else key).replace("_", "-")
        return f"{self.file}:{locate(self.text, key, value)}"


Proposed = Mapping[str, tuple[str, Any]]
"""Key -> (the user's file that says so, value)."""


def read_experiment(
    file: Path | None, options: Mapping[str, Any], registry: Registry, proposed: Proposed = MappingProxyType({})
) -> Experiment:
    """The experiment in *file* (TOML; None = all defaults) with *options* laid over it and *proposed* under it,
    expanded to names.

    Only options the user gave belong in *options*.  The result lists every name, in the registry's order
    and once each, so the same choice always has the same canonical text.  InputError lists all mistakes.
    """
    text = "" if file is None else _read(file)
    given = {key: list(value) if key in NAME_LISTS else value for key, value in options.items()}
    values = {} if file is None else _parse(text, str(file))
    under = {key: value for key, value in proposed.items() if key not in values | given}
    places = {key: name for key, (name, _) in under.items()}
    source = Source(None if file is None else str(file), text, frozenset(given), proposed=places)
    return _checked({key: value for key, (_, value) in under.items()} | values | given, source, registry)


def files_of(file: Path | None) -> list[str]:
    """The user's files that the TOML *file* names, to be known before its names are looked at; [] where it has no such
    list: ``read_experiment`` says what is wrong with it."""
    values = {} if file is None else _parse(_read(file), str(file))
    given = values.get("files", [])
    return given if isinstance(given, list) and all(isinstance(name, str) for name in given) else []


def revive(stored: Experiment, registry: Registry, run: str) -> Experiment:
    """A stored experiment, checked against today's registry; *run* names it in messages."""
    return _checked(stored.model_dump(), Source(run=run), registry)


def _checked(values: Mapping[str, Any], source: Source, registry: Registry) -> Experiment:
    mistakes: list[str] = []
    experiment = _validate(values, source, mistakes)
    expanded = _expand(values, source, registry, mistakes)
    if mistakes or experiment is None:
        raise InputError(*mistakes)
    return experiment.model_copy(update=expanded)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or, where nothing is close, the known names (the first dozen)."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; known: {shown or 'none'}"


def locate(text: str, key: str, value: str | None = None) -> int:
    """The line (from 1) of *key* in a flat TOML text, or of *value* in the list after it; 1 if not found."""
    lines = _without_comments(text).split("\n")
    quoted = re.escape(key)
    pattern = re.compile(rf"^\s*(?:\[+\s*)?([\"']?){quoted}\1\s*(?:[=.\]]|$)")
    start = next((i for i, line in enumerate(lines) if pattern.match(line)), None)
    if start is None:
        return 1
    if value is None:
        return start + 1
    wanted = (json.dumps(value, ensure_ascii=False), f"'{value}'")
    for i in range(start, len(lines)):
        if i > start and re.match(r"^\s*[\w\"'-]+\s*=", lines[i]):
            break
        if any(form in lines[i] for form in wanted):
            return i + 1
    return start + 1


def _singular(key: str) -> str:
    return {"arches": "arch"}.get(key, key.removesuffix("s"))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{file}: no such experiment file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{file}: cannot read the experiment file: {reason}") from error


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), re.DOTALL)
        what, line = (found[1], int(found[2])) if found else (str(error), text.count("\n") + 1)
        raise InputError(f"{name}:{line}: not TOML: {' '.join(what.split())}") from error


def _validate(values: Mapping[str, Any], source: Source, mistakes: list[str]) -> Experiment | None:
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False):
            key = str(problem["loc"][0])
            if problem["type"] == "extra_forbidden":
                hint = did_you_mean(key, Experiment.model_fields)
                mistakes.append(f"{source.place(key)}: unknown key {_quote(key)}{hint}")
            else:
                mistakes.append(f"{source.place(key)}: {_quote(key)}: {problem['msg']}")
        return None


def _expand(values: Mapping[str, Any], source: Source, registry: Registry, mistakes: list[str]) -> dict[str, list[str]]:
    """Every list of names checked and expanded; a list with a wrong type is left to pydantic's message."""
    expanded: dict[str, list[str]] = {}
    for key in NAME_LISTS:
        given = values.get(key, Experiment.model_fields[key].default)
        if not isinstance(given, list) or not all(isinstance(name, str) and name for name in given):
            continue
        known = [w[0] for w in registry.workloads] if key == "workloads" else list(getattr(registry, key))
        chosen: dict[str, None] = {}
        for name in given:
            plain = _canonical_name(key, name, known, registry.rules)
            if plain is not None:
                chosen[plain] = None
                continue
            mistakes.append(f"{source.place(key, name)}: {_unknown(key, name, known, registry.rules)}")
        files = [name for name in chosen if name not in known]
        expanded[key] = [name for name in known if name in chosen] + files if given else known
    return expanded


def unwinder_parts(name: str) -> tuple[str, tuple[str, ...]]:
    """(name or ``.py`` file of the unwinder, names of the rules around it, innermost first) of ``name+rule+rule``."""
    file, dot, rest = name.rpartition(".py+")
    if dot:
        return f"{file}.py", tuple(rest.split("+"))
    if name.endswith(".py"):
        return name, ()
    base, *rules = name.split("+")
    return base, tuple(rules)


def known_unwinder(name: str, known: Sequence[str], rules: Sequence[str]) -> bool:
    """Whether *name* is an unwinder, or an existing ``.py`` file, and what follows it are rules."""
    base, around = unwinder_parts(name)
    exists = base in known or (base.endswith(".py") and Path(base).is_file())
    return exists and all(rule in rules for rule in around)


def _unknown(key: str, name: str, known: Sequence[str], rules: Sequence[str]) -> str:
    if key != "unwinders":
        return f"unknown {_singular(key)} {_quote(name)}{did_you_mean(name, known)}"
    return unknown_unwinder(name, known, rules)


def unknown_unwinder(name: str, known: Sequence[str], rules: Sequence[str]) -> str:
    """What is wrong with the name *name* of an unwinder and rules, and what may be meant."""
    base, around = unwinder_parts(name)
    wrong = next((rule for rule in around if rule not in rules), None)
    if wrong is not None and known_unwinder(base, known, rules):
        return f"unknown rule {_quote(wrong)} in {_quote(name)}{did_you_mean(wrong, rules)}"
    return f"unknown unwinder {_quote(base)}{did_you_mean(base, known)}"


def _canonical_name(key: str, name: str, known: Sequence[str], rules: Sequence[str]) -> str | None:
    """The registered name *name* stands for, or None.  Unwinders may be existing ``.py`` files, rules around them."""
    if name in known:
        return name
    if key == "arches":
        try:
            arch = arch_by_name(name).name
        except InputError:
            return None
        return arch if arch in known else None
    return name if key == "unwinders" and known_unwinder(name, known, rules) else None


def _quote(name: str) -> str:
    """*name* in quotes on one line, whatever it holds."""
    return "'" + name.encode("unicode_escape").decode("ascii") + "'"


_TOKENS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|(#[^\n]*)',
    re.DOTALL,
)


def _without_comments(text: str) -> str:
    return _TOKENS.sub(lambda found: "" if found[1] is not None else found[0], text)
