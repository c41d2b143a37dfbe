"""Every command runs in an empty folder, with stand-ins for the parts it calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fakes


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fakes.install(monkeypatch)
