"""Shadow-stack flavours, one file each; every module here that defines FLAVOUR is found by name.

A flavour is its sequences and how an unwinder gets at what they leave (``reach``).  Adding one is adding a
file: the command line offers it, and the pac and xray proposals appear for it with every policy it has.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from lab.errors import InputError
from lab.layout import Flavour
from rewriters.copyonly import COPY_ONLY
from rewriters.flavours.api import FlavourSpec

__all__ = ["ADDED", "FlavourSpec", "all_flavours", "flavour_by_name"]

ADDED: dict[str, FlavourSpec] = {}
"""Flavours of a user's file, by name (rewriters.proposed)."""

_FIRST = tuple(flavour.value for flavour in Flavour)


@cache
def all_flavours() -> tuple[FlavourSpec, ...]:
    """Every flavour: register, parallel and memory first, then the others by name."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    found = [module.FLAVOUR for module in modules if hasattr(module, "FLAVOUR")]
    return tuple(sorted(found, key=lambda spec: (_FIRST.index(spec.name) if spec.name in _FIRST else 9, spec.name)))


def flavour_by_name(flavour: str | Flavour) -> FlavourSpec:
    """The flavour called so (a Flavour member stands for the built-in of its name); InputError if there is none.
    The one that does nothing (rewriters.copyonly) is known by its name, and in no list."""
    name = flavour.value if isinstance(flavour, Flavour) else flavour
    if name == COPY_ONLY.name:
        return COPY_ONLY
    known = {spec.name: spec for spec in all_flavours()} | ADDED
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
    raise InputError(f"unknown shadow-stack flavour '{name}'; {hint}")
