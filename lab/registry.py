"""What there is, by name.  A newcomer's part is one added file; it is found here without being listed."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import lab.proposals
import lab.unwind
import lab.unwind.rules
from lab import plugin
from lab.errors import InputError
from lab.experiment import unwinder_parts
from lab.plugin import Plugin
from lab.proposals.api import Proposal
from lab.unwind.api import MODES, Unwinder
from lab.unwind.rules.api import Rule
from lab.unwind.rules.compose import wrap
from rewriters import REWRITERS, add_flavour, check_request

_T = TypeVar("_T")
_A = {"unwinder": "an unwinder", "rule": "a rule", "proposal": "a proposal"}
_ADDED: dict[str, Plugin] = {}
"""The user's files of this process, by path."""


@dataclass(frozen=True)
class Names:
    """Every name the command line accepts; ``workloads`` as (name, rows of field.md, title); ``variants``
    are those of ``proposals`` that must be named to be run."""

    workloads: tuple[tuple[str, tuple[int, ...], str], ...]
    proposals: tuple[str, ...]
    unwinders: tuple[str, ...]
    rules: tuple[str, ...]
    rewriters: tuple[str, ...]
    compilers: tuple[str, ...]
    arches: tuple[str, ...]
    modes: tuple[str, ...]
    variants: tuple[str, ...] = ()

    @property
    def default_proposals(self) -> tuple[str, ...]:
        """What "all proposals" means: all but the variants, which are to be named."""
        return tuple(name for name in self.proposals if name not in self.variants)


def names() -> Names:
    """All of them."""
    from lab.arch import ARCHES
    from lab.images.toolchain import compiler_names
    from lab.images.workloads import all_workloads

    return Names(
        workloads=tuple((w.name, w.rows, w.title) for w in all_workloads()),
        proposals=tuple(p.name for p in all_proposals()),
        unwinders=tuple(u.name for u in all_unwinders()),
        rules=tuple(rule.name for rule in all_rules()),
        rewriters=REWRITERS,
        compilers=compiler_names(),
        arches=tuple(arch.name for arch in ARCHES),
        modes=tuple(MODES),
        variants=tuple(p.name for p in all_proposals() if p.variant),
    )


def _modules(package: ModuleType) -> Iterable[ModuleType]:
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        yield importlib.import_module(f"{package.__name__}.{info.name}")


def all_unwinders() -> tuple[Unwinder, ...]:
    """Every module of ``lab.unwind`` that defines UNWINDER, the oracle last; then those of the user's."""
    return (*_built_in_unwinders(), *(u for found in _plugins() for u in found.unwinders))


@cache
def _built_in_unwinders() -> tuple[Unwinder, ...]:
    found = [m.UNWINDER for m in _modules(lab.unwind) if hasattr(m, "UNWINDER")]
    return tuple(sorted(found, key=lambda u: (u.oracle, u.name)))


def all_rules() -> tuple[Rule, ...]:
    """Every rule of the modules of ``lab.unwind.rules`` (RULE, or RULES), by name; then those of the user's."""
    return (*_built_in_rules(), *(rule for found in _plugins() for rule in found.rules))


@cache
def _built_in_rules() -> tuple[Rule, ...]:
    modules = list(_modules(lab.unwind.rules))
    found = [rule for m in modules for rule in getattr(m, "RULES", (m.RULE,) if hasattr(m, "RULE") else ())]
    return tuple(sorted(found, key=lambda rule: rule.name))


def all_proposals() -> tuple[Proposal, ...]:
    """Every proposal of the modules of ``lab.proposals``, by file, in each file's own order; then the user's."""
    return (*_built_in_proposals(), *(p for found in _plugins() for p in found.proposals))


@cache
def _built_in_proposals() -> tuple[Proposal, ...]:
    return tuple(p for m in _modules(lab.proposals) for p in getattr(m, "PROPOSALS", ()))


def proposal(name: str) -> Proposal:
    """The proposal called *name*."""
    return _pick(name, {p.name: p for p in all_proposals()}, "proposal")


def unwinder(name: str) -> Unwinder:
    """The unwinder called *name*, or the one in the file *name* if that ends in ``.py``; rules follow, each behind
    a ``+``, and wrap what stands before them."""
    base, rules = unwinder_parts(name)
    found = load_unwinder(Path(base)) if base.endswith(".py") else _pick(base, _unwinders(), "unwinder")
    if found.oracle and rules:
        raise InputError(f"'{name}': the oracle is told the truth; a rule has nothing to refuse there")
    for each in rules:
        found = wrap(found, _pick(each, {r.name: r for r in all_rules()}, "rule"))
    return found


def _unwinders() -> dict[str, Unwinder]:
    return {u.name: u for u in all_unwinders()}


def _pick(name: str, known: dict[str, _T], what: str) -> _T:
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"
    raise InputError(f"unknown {what} '{name}'{hint}")


def load_unwinder(path: Path) -> Unwinder:
    """The ``UNWINDER`` of a Python file of the user's.  InputError names the file and what is wrong with it."""
    if not path.is_file():
        raise InputError(f"{path}: no such unwinder file")
    found = getattr(plugin.load_module(path), "UNWINDER", None)
    if not isinstance(found, Unwinder):
        raise InputError(f"{path}: defines no UNWINDER = Unwinder(...)")
    return plugin.checked_unwinder(found, str(path))


def add_file(path: Path) -> Plugin:
    """What a user's file defines, known by name from now on in this process; each file is loaded once."""
    if str(path) not in _ADDED:
        _ADDED[str(path)] = _registered(plugin.load(path))
    return _ADDED[str(path)]


@cache
def _installed() -> tuple[Plugin, ...]:
    """What installed packages add, by their entry points of the group ``unwindlab``: each names a module."""
    points = sorted(importlib.metadata.entry_points(group="unwindlab"), key=lambda point: point.name)
    return tuple(_registered(plugin.of_module(point.load(), f"{point.name} ({point.value})")) for point in points)


def _registered(found: Plugin) -> Plugin:
    """*found*, if none of its names is taken, its sequences assembled and read back."""
    known: tuple[tuple[str, Iterable[str], Iterable[str]], ...] = (
        ("unwinder", [u.name for u in found.unwinders], [u.name for u in _built_in_unwinders()]),
        ("rule", [r.name for r in found.rules], [r.name for r in _built_in_rules()]),
        ("proposal", [p.name for p in found.proposals], [p.name for p in _built_in_proposals()]),
    )
    for kind, names, taken in known:
        others = [part.name for other in _ADDED.values() for part in getattr(other, f"{kind}s")]
        for name in names:
            if name in (*taken, *others):
                raise InputError(f"{found.file}: there is {_A[kind]} called '{name}' already; give it another name")
    for spec in found.flavours:
        add_flavour(spec, found.file)
    for proposed in found.proposals:
        if proposed.rewrite is not None:
            check_request(proposed.rewrite.mode, proposed.rewrite.flavour, found.file)
    return found


def _plugins() -> tuple[Plugin, ...]:
    return (*_installed(), *_ADDED.values())
