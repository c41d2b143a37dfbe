"""Small guests with which a fast engine is compared with the reference engine: counts per pc must be identical.

They smash and restore frame records in every way a store can, run code of unusual shape, or are random.
Each ends with exit status 0 and keeps the true values of what it smashes elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from lab.images.image import Image
from tests.engine import inside_aarch64, inside_x86_64, smash_aarch64, smash_x86_64
from tests.engine.random_programs import random_program
from tests.engine.shapes import shapes
from tests.engine.shapes_c import SOURCES
from tests.engine.smash_forms import body, mark, program
from tests.support import ARCH_NAMES, assemble, compile_c

__all__ = ["Program", "catalogue", "marks", "random_program"]

_MARK = re.compile(r"(hit|heal|same|both)_\d+")


@dataclass(frozen=True)
class Program:
    """One guest.  ``make`` builds its image (from a cache the second time)."""

    name: str
    arch: str
    make: Callable[[], Image]

    @property
    def title(self) -> str:
        return f"{self.arch}-{self.name}"


@cache
def catalogue() -> tuple[Program, ...]:
    """Every program but the random ones, on every architecture it exists for."""
    found = []
    for arch, forms, inside in (
        ("aarch64", smash_aarch64, inside_aarch64),
        ("x86_64", smash_x86_64, inside_x86_64),
    ):
        dialect = forms.DIALECT
        texts = {f"store-{group.name}": program(dialect, group) for group in forms.GROUPS}
        texts |= {name: body(dialect, text) + mark(inside.EXTRA) for name, text in inside.INSIDE.items()}
        texts |= {name: mark(text) for name, text in shapes(arch).items()}
        found += [Program(name, arch, partial(assemble, arch, text)) for name, text in texts.items()]
    found += [
        Program(name, arch, partial(compile_c, arch, source)) for arch in ARCH_NAMES for name, source in SOURCES.items()
    ]
    return tuple(found)


def marks(image: Image) -> dict[str, tuple[int, ...]]:
    """The marked places of *image*: kind (hit, heal, same, both) -> addresses."""
    found: dict[str, list[int]] = {"hit": [], "heal": [], "same": [], "both": []}
    for name, address in image.symbols.items():
        match = _MARK.fullmatch(name)
        if match:
            found[match[1]].append(address)
    return {kind: tuple(sorted(addresses)) for kind, addresses in found.items()}
