"""Rewritten code keeps the lines of the plug-in's file: a crash names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.engine.plan import Plan
from lab.engine.reference import run_reference
from lab.machine.machine import Limits
from lab.registry import load_unwinder
from tests.lowering.test_refusals import FIRST, HEAD
from tests.support import assemble

FAILS = "a, b, c, d = cursor"
BODIES = {
    "straight": (f'"""Says\nnothing."""\n{FAILS}\nreturn END, 0, cursor', 2),
    "in a range": (f"for i in range(2, 9, 3):\n\n    {FAILS}\nreturn END, 0, cursor", 2),
    "after a range": (f"x = 0\nfor i in range(3):\n    x += i\n\n{FAILS}\nreturn END, x, cursor", 4),
    "in a while": (f"while True:\n    if cursor[0]:\n        {FAILS}\n    return END, 0, cursor", 2),
    "in a helper": ("return END, failing(cursor), cursor", -4),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_crash_names_its_line(tmp_path: Path, name: str) -> None:
    body, line = BODIES[name]
    helper = f"def failing(cursor):\n    {FAILS}\n    return a\n\n"
    lines = "".join(f"    {text}\n" for text in body.split("\n"))
    path = tmp_path / "plug.py"
    path.write_text(
        f"{HEAD}{helper}def step(mem, cursor):\n{lines}UNWINDER = Unwinder('plug', 'plug', '', start, step)\n"
    )
    image = assemble("aarch64", "FUNC test_main\n mov x0, #0\n ret\nEND test_main\n")
    found = run_reference(image, None, Plan((load_unwinder(path),), ("boundary",), Limits(9)))
    (reason,) = {t.judgement.reason for t in found.tallies}
    assert reason == f"plug.py:{FIRST + 4 + line}: ValueError: not enough values to unpack (expected 4, got 1)"
