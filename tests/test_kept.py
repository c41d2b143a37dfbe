"""The list of the stops a run has kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab import kept


def stop(proposal: str, location: str) -> kept.Kept:
    row: Any = SimpleNamespace(
        arch="aarch64", workload="stackswitch", proposal=proposal, mode="boundary", location=location
    )
    return kept.Kept(row, ("fp missing", "dwarf refused"))


@pytest.mark.parametrize(
    "stops",
    [
        [stop("base", "main+0x0")],
        [stop("insertion-memory-use-nonleaf", "a_function_with_a_long_name.isra.0+0x1234"), stop("base", "main+0x0")],
    ],
    ids=["short", "long"],
)
def test_columns_are_apart_and_begin_at_the_same_place(stops: list[kept.Kept], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "kept_stops", lambda _run: stops)
    run: Any = SimpleNamespace(run_id="0123")
    lines = kept.listing(run).splitlines()[1:]
    for line, one in zip(lines, stops, strict=True):
        assert line.split(maxsplit=6)[1:6] == list(one.place)
    assert len({line.index("fp missing") for line in lines}) == 1
