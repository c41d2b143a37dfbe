"""Two small images, with a few designs that have been compiled for other tests too."""

from __future__ import annotations

import pytest

from lab.mutation.ground import Ground
from lab.selftest.cases import Case

PROPOSAL = "xray-memory-record"
DESIGNS = ("dwarf", "fp", "scs-lr", "oracle")


@pytest.fixture(scope="package", params=["aarch64", "x86_64"])
def ground(request: pytest.FixtureRequest) -> Ground:
    """The unmutated image of each architecture."""
    return Ground(Case(request.param, "longjmp", PROPOSAL), DESIGNS)
