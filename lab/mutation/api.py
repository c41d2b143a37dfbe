"""What a mutant is, and what an operator must be able to do.

A new operator is an object with the attributes of ``Operator`` in the ``OPERATORS`` of a module of this package; the
module says in ``KIND`` what it mutates.  Nothing has to be listed anywhere.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

from lab.engine.plan import Poke
from lab.errors import InputError
from lab.images.image import Image
from lab.metadata.rules import RuleTable
from lab.selftest.cases import Case

if TYPE_CHECKING:
    from lab.mutation.ground import Ground

At = tuple[int, ...]
"""Where and how an operator mutates: numbers that only it understands.  With the image they say all of a mutant."""
Ranges = tuple[tuple[int, int], ...]
KINDS = ("metadata", "code", "memory", "rewrite")
"""In the order of the tables."""


@dataclass(frozen=True)
class Executed:
    """The mutant is reached by executing one of these addresses, whatever the design."""

    ranges: Ranges


@dataclass(frozen=True)
class LookedUp:
    """Reached by a design that looks up an address in *ranges* of a rule table: (Format, ranges) of each."""

    tables: tuple[tuple[int, Ranges], ...]


@dataclass(frozen=True)
class Loaded:
    """Reached by a design that loads a byte of [address, address + 8) at a stop of the instructions [first, end)."""

    address: int
    first: int
    end: int


Reach = Executed | LookedUp | Loaded


@dataclass(frozen=True)
class Mutated:
    """A mutant, applied.  ``image`` is what runs; ``pokes`` and ``rows`` go into the plan.  ``function``: the one that
    was mutated (the cluster of the statistics); ``what``: the change in words."""

    image: Image
    reach: Reach
    function: str
    what: str
    pokes: tuple[Poke, ...] = ()
    rows: tuple[RuleTable, ...] = ()


class Operator(Protocol):
    """One way to mutate."""

    @property
    def name(self) -> str: ...
    @property
    def bug(self) -> str:
        """The real fault it stands for, in words."""
        ...

    def draw(self, ground: Ground, chance: random.Random, count: int) -> Sequence[At]:
        """Up to *count* different mutants, each candidate of the image with equal chance; fewer where there are few."""
        ...

    def apply(self, ground: Ground, at: At) -> Mutated:
        """The mutant *at*; InputError where there is no such one in this image."""
        ...


@dataclass(frozen=True, order=True)
class Mutant:
    """A mutant by name: the image, the operator and its numbers say all of it."""

    case: Case
    operator: str
    at: At

    @property
    def id(self) -> str:
        """``arch:workload:proposal:operator:numbers`` (hexadecimal, joined by dots)."""
        numbers = ".".join(f"{number:x}" for number in self.at)
        return f"{self.case.arch}:{self.case.workload}:{self.case.proposal}:{self.operator}:{numbers}"


def parse_id(text: str) -> Mutant:
    """The inverse of ``Mutant.id``; InputError where *text* is no such name."""
    from lab.arch import arch_by_name

    parts = text.split(":")
    try:
        arch, workload, proposal, name, numbers = parts
        at = tuple(int(number, 16) for number in numbers.split("."))
    except ValueError:
        raise InputError(
            f"'{text}': a mutant is named arch:workload:proposal:operator:numbers, as --json lists"
        ) from None
    kind_of(name)
    return Mutant(Case(arch_by_name(arch).name, workload, proposal), name, at)


@cache
def operators() -> dict[str, dict[str, Operator]]:
    """Kind -> name -> operator, of every module of this package that defines OPERATORS."""
    import lab.mutation

    found: dict[str, dict[str, Operator]] = {kind: {} for kind in KINDS}
    for info in sorted(pkgutil.iter_modules(lab.mutation.__path__), key=lambda item: item.name):
        module = importlib.import_module(f"{lab.mutation.__name__}.{info.name}")
        for operator in getattr(module, "OPERATORS", ()):
            found[module.KIND][operator.name] = operator
    return found


def kind_of(name: str) -> str:
    """The kind of the operator called *name*; InputError where there is none."""
    for kind, known in operators().items():
        if name in known:
            return kind
    known_names = ", ".join(name for known in operators().values() for name in known)
    raise InputError(f"unknown operator '{name}'; known: {known_names}")


def sample(candidates: Sequence[At], chance: random.Random, count: int) -> list[At]:
    """Up to *count* of *candidates*, without repetition, in the order drawn."""
    return chance.sample(candidates, min(count, len(candidates)))


def no_such(ground: Ground, at: At) -> InputError:
    """The error for numbers that name no mutant of this image."""
    numbers = ".".join(f"{number:x}" for number in at)
    return InputError(f"{ground.image.path}: no mutant '{numbers}' in this image; it may have been built anew")
