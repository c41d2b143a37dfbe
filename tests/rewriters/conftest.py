"""Guests built once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.images.image import Image, load_image
from lab.layout import Flavour
from tests.rewriters import guests

KEEPS = {Flavour.REGISTER: "x18", Flavour.MEMORY: "cell", Flavour.PARALLEL: ""}


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Image]:
    """Call it with (arch, mode, flavour): the main guest, whose longjmp suits the flavour."""
    built: dict[tuple[str, str, str], Image] = {}
    root: Path = tmp_path_factory.mktemp("guests")

    def get(arch: str, mode: str, flavour: Flavour = Flavour.MEMORY) -> Image:
        key = (arch, mode, KEEPS[flavour])
        if key not in built:
            built[key] = load_image(guests.build(root / "-".join(key), *key))
        return built[key]

    return get
