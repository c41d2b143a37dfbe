"""The pytest plugin: the fixture ``assert_reliable`` for tests that must not need an import of the lab.

Loaded at every start of pytest where unwindlab is installed, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def assert_reliable() -> Callable[..., Any]:
    """lab.testing.assert_reliable: (image, unwinder, ...) must be reliable at every stop."""
    from lab.testing import assert_reliable as check

    return check
