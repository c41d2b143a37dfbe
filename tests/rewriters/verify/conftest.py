"""Rewrites of the main guest, for planting damage in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.images.image import Image
from lab.layout import Flavour, Policy
from tests.rewriters.conftest import guest
from tests.rewriters.verify.planting import CODE, Case, make

__all__ = ["guest"]

MODES = [("aarch64", "pac"), ("aarch64", "xray"), ("x86_64", "xray")]
ANALYSED = [(arch, mode) for arch in ("aarch64", "x86_64") for mode in ("detour", "insertion")]


@pytest.fixture(scope="session")
def rewrite_of(guest: Callable[..., Image]) -> Callable[..., Case]:
    """Call it with (arch, mode, flavour, policy): the main guest rewritten so, made once."""
    made: dict[tuple[str, str, Flavour, Policy], Case] = {}

    def get(arch: str, mode: str, flavour: Flavour = Flavour.MEMORY, policy: Policy = Policy.CHECK) -> Case:
        key = (arch, mode, flavour, policy)
        if key not in made:
            made[key] = make(guest(arch, CODE[mode], flavour), mode, flavour, policy)
        return made[key]

    return get


@pytest.fixture(scope="session", params=MODES + ANALYSED, ids="-".join)
def case(request: pytest.FixtureRequest, rewrite_of: Callable[..., Case]) -> Case:
    """Every mode, with the strictest flavour and policy."""
    return rewrite_of(*request.param)


@pytest.fixture(scope="session", params=ANALYSED, ids="-".join)
def analysed(request: pytest.FixtureRequest, rewrite_of: Callable[..., Case]) -> Case:
    """The modes that carry code elsewhere."""
    return rewrite_of(*request.param)
