"""A user's one file: unwinders, rules, proposals and sequences, checked before anything of it is used.

The file is run, not confined.  But it is looked through first for what would show it more than an unwinder is given:
frames of its callers, insides of objects, the lab's own modules that know the truth.  A measurement by a file
that has seen the answer is worth nothing, so such a file is refused with the line.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from lab.errors import InputError
from lab.proposals.api import Proposal
from lab.unwind.api import Unwinder
from lab.unwind.rules.api import Rule
from lab.unwind.watchdog import Loading, WalkHung, Watchdog
from rewriters.flavours.api import FlavourSpec

_T = TypeVar("_T")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
"""What a user's parts may be called: names stand in tables, file names and keys; + joins rules to an unwinder."""

LAB = ("lab.unwind", "lab.metadata.rules", "lab.proposals", "lab.layout", "lab.arch", "rewriters.flavours")
"""The parts of this project that a user's file may import."""
_OWN = ("lab", "rewriters")
_MODULES = frozenset(
    "builtins code ctypes faulthandler gc importlib inspect operator pdb pickle pkgutil threading traceback "
    "tracemalloc unicorn".split()
)
_NAMES = frozenset("__builtins__ __import__ __loader__ __spec__ breakpoint compile delattr eval exec getattr globals "
                   "locals setattr vars".split())  # fmt: skip
_ATTRIBUTES = frozenset("ag_frame cr_frame f_back f_builtins f_globals f_locals gi_frame modules setprofile settrace "
                        "tb_frame tb_next".split())  # fmt: skip


@dataclass(frozen=True)
class Plugin:
    """What one file or installed module defines.  ``experiment``: what ``run`` does with it if not told otherwise."""

    file: str
    unwinders: tuple[Unwinder, ...] = ()
    rules: tuple[Rule, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    flavours: tuple[FlavourSpec, ...] = ()
    experiment: Mapping[str, Any] = field(default_factory=dict)

    def defaults(self) -> dict[str, Any]:
        """The experiment of this file: its own parts, unless its EXPERIMENT says otherwise."""
        names = [u.name for u in self.unwinders] + [f"fp+{rule.name}" for rule in self.rules]
        own: dict[str, Any] = {"proposals": [p.name for p in self.proposals] or ["base"]}
        return own | ({"unwinders": ["fp", *names]} if names else {}) | dict(self.experiment)


def load(path: Path) -> Plugin:
    """The parts that the Python file *path* defines.  InputError names the file, the line, and what is wrong."""
    return of_module(load_module(path), str(path))


def load_module(path: Path) -> ModuleType:
    """The file *path*, looked through and then run."""
    check_source(path)
    spec = importlib.util.spec_from_file_location(f"proposed_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        with Watchdog(Loading()):
            spec.loader.exec_module(module)
    except WalkHung:
        raise InputError(f"{path}: importing it does not come to an end") from None
    except (Exception, SystemExit) as error:  # the file may do anything wrong: say what, in one line
        raise InputError(f"{_line(path, error)}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    return module


def of_module(module: ModuleType, file: str) -> Plugin:
    """The parts that *module* defines."""
    unwinders = tuple(checked_unwinder(u, file) for u in _defined(module, "UNWINDER", Unwinder, file))
    experiment = getattr(module, "EXPERIMENT", {})
    if not isinstance(experiment, dict) or not all(isinstance(key, str) for key in experiment):
        raise InputError(f'{file}: EXPERIMENT must be a dict, such as {{"workloads": ["tailcall"]}}')
    found = Plugin(
        file,
        unwinders,
        _defined(module, "RULE", Rule, file),
        _defined(module, "PROPOSAL", Proposal, file),
        _defined(module, "FLAVOUR", FlavourSpec, file),
        experiment,
    )
    parts: tuple[Any, ...] = (*found.unwinders, *found.rules, *found.proposals, *found.flavours)
    if not parts:
        raise InputError(f"{file}: defines no UNWINDER, RULE, PROPOSALS or FLAVOUR; unwindlab new writes a start")
    for part in parts:
        if not isinstance(part.name, str) or not _NAME.fullmatch(part.name):
            kind = type(part).__name__
            raise InputError(f"{file}: the name of a {kind} must be one word of letters, digits and ._-, 40 at most")
    return found


def checked_unwinder(found: Unwinder, file: str) -> Unwinder:
    """*found* with the file as its origin; InputError where it cannot be one of a user's."""
    if not callable(found.start) or not callable(found.step):
        raise InputError(f"{file}: start and step of UNWINDER must be functions")
    if found.oracle:
        raise InputError(f"{file}: an oracle is told the truth, which no unwinder may see; leave oracle out")
    if not isinstance(found.name, str) or not _NAME.fullmatch(found.name):
        raise InputError(f"{file}: the name of UNWINDER must be one word of letters, digits and ._-, 40 at most")
    return replace(found, origin=file)


def _defined(module: ModuleType, name: str, kind: type[_T], file: str) -> tuple[_T, ...]:
    """NAME, or the tuple NAMES, of *module*."""
    given = getattr(module, f"{name}S", None)
    if given is None:
        given = (getattr(module, name),) if hasattr(module, name) else ()
    if not isinstance(given, tuple | list) or not all(isinstance(item, kind) for item in given):
        raise InputError(f"{file}: {name} must be a {kind.__name__}(...), {name}S a tuple of them")
    return tuple(given)


def check_source(path: Path) -> None:
    """InputError, with the line, where the file reaches past what it is given."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read it: {error.strerror}") from error
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno or 1}: SyntaxError: {error.msg}") from error
    except ValueError as error:
        raise InputError(f"{path}: not Python text: {error}") from error
    for line, what in _reaching(tree):
        hint = "an unwinder is given mem, regs and its cursor, and nothing else"
        if what.partition(".")[0] in _OWN:
            hint += f"; what may be imported is in {', '.join(LAB)}"
        raise InputError(f"{path}:{line}: '{what}' reaches past what it may see: {hint}")


def _reaching(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if not _importable(alias.name))
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name) for name in whole if not _importable(name))
        elif isinstance(node, ast.Attribute) and (node.attr.startswith("_") or node.attr in _ATTRIBUTES):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Name) and node.id in _NAMES:
            yield node.lineno, node.id


def _importable(name: str) -> bool:
    top = name.partition(".")[0]
    if top in _OWN:
        return any(f"{name}.".startswith(f"{part}.") for part in LAB)
    return top not in _MODULES


def _line(path: Path, error: BaseException) -> str:
    """``file:line`` of the innermost place in *path* that *error* came through."""
    at, line = error.__traceback__, 0
    while at is not None:
        if Path(at.tb_frame.f_code.co_filename) == path.resolve():
            line = at.tb_lineno
        at = at.tb_next
    return f"{path}:{line}" if line else str(path)
