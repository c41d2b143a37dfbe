"""Order: what takes longest begins first, so that no worker waits for another at the end."""

from __future__ import annotations

import pytest

SLOW = ("tests/test_readme.py", "tests/fuzz/", "tests/commands/test_bench.py", "tests/test_reference.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files in SLOW, then the others, each in their own order."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))
