"""What there is, by name.  A newcomer's part is one added file; it is found here without being listed."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import lab.proposals
import lab.unwind
import lab.unwind.rules
from lab.errors import InputError
from lab.experiment import unwinder_parts
from lab.proposals.api import Proposal
from lab.unwind.api import MODES, Unwinder
from lab.unwind.rules.api import Rule
from lab.unwind.rules.compose import wrap
from lab.unwind.watchdog import Loading, WalkHung, Watchdog
from rewriters import REWRITERS

_T = TypeVar("_T")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
"""What a user's unwinder may be called: the name stands in tables, file names and keys; + joins rules to it."""


@dataclass(frozen=True)
class Names:
    """Every name the command line accepts; ``workloads`` as (name, rows of field.md, title)."""

    workloads: tuple[tuple[str, tuple[int, ...], str], ...]
    proposals: tuple[str, ...]
    unwinders: tuple[str, ...]
    rules: tuple[str, ...]
    rewriters: tuple[str, ...]
    compilers: tuple[str, ...]
    arches: tuple[str, ...]
    modes: tuple[str, ...]


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
    )


def _modules(package: ModuleType) -> Iterable[ModuleType]:
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        yield importlib.import_module(f"{package.__name__}.{info.name}")


@cache
def all_unwinders() -> tuple[Unwinder, ...]:
    """Every module of ``lab.unwind`` that defines UNWINDER; the oracle last."""
    found = [m.UNWINDER for m in _modules(lab.unwind) if hasattr(m, "UNWINDER")]
    return tuple(sorted(found, key=lambda u: (u.oracle, u.name)))


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule of the modules of ``lab.unwind.rules`` (RULE, or RULES), by name."""
    modules = list(_modules(lab.unwind.rules))
    found = [rule for m in modules for rule in getattr(m, "RULES", (m.RULE,) if hasattr(m, "RULE") else ())]
    return tuple(sorted(found, key=lambda rule: rule.name))


@cache
def all_proposals() -> tuple[Proposal, ...]:
    """Every proposal of the modules of ``lab.proposals``, by file, in each file's own order."""
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
    spec = importlib.util.spec_from_file_location(f"unwinder_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        with Watchdog(Loading()):
            spec.loader.exec_module(module)
    except WalkHung:
        raise InputError(f"{path}: importing it does not come to an end") from None
    except (Exception, SystemExit) as error:  # the file may do anything wrong: say what, in one line
        raise InputError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    found = getattr(module, "UNWINDER", None)
    if not isinstance(found, Unwinder):
        raise InputError(f"{path}: defines no UNWINDER = Unwinder(...)")
    if not callable(found.start) or not callable(found.step):
        raise InputError(f"{path}: start and step of UNWINDER must be functions")
    if found.oracle:
        raise InputError(f"{path}: an oracle is told the truth, which no unwinder may see; leave oracle out")
    if not isinstance(found.name, str) or not _NAME.fullmatch(found.name):
        raise InputError(f"{path}: the name of UNWINDER must be one word of letters, digits and ._-, 40 at most")
    return replace(found, origin=str(path))
