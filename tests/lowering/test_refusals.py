"""What lowering refuses, with its line and its reason; and what it must not refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.lowering.plain import LoopBudgetSpent, PlainForms
from lab.lowering.source import NotLowerable
from lab.registry import load_unwinder
from lab.unwind.api import Regs
from lab.unwind.host import PRIMITIVES

HEAD = """from lab.unwind.api import *
from lab.unwind.api import Reason, Unwinder
import enum, math
LIST = [1]
least = min
def helper(x):
    return x + 1
def endless(x):
    return endless(x)
def start(mode, pc, regs):
    return (regs.sp,)
"""
FIRST = len(HEAD.splitlines()) + 2
"""The line on which step's body begins."""


def step_of(folder: Path, body: str, head: str = HEAD) -> Callable[..., Any]:
    """The step function ``def step(mem, cursor)`` with *body*."""
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    path = folder / "plug.py"
    path.write_text(f"{head}def step(mem, cursor):\n{lines}UNWINDER = Unwinder('plug', 'plug', '', start, step)\n")
    return load_unwinder(path).step


def form(step: Callable[..., Any]) -> Callable[..., Any]:
    return PlainForms(PRIMITIVES).form(step)


#: body -> (line within the body, reason)
REFUSED = {
    "x = 1.5\nreturn END, 0, cursor": (0, "1.5 is not an integer"),
    "x = 'a'\nreturn END, 0, cursor": (0, "'a' is not an integer"),
    "return END, None, cursor": (0, "None is not an integer"),
    "x = [1]\nreturn END, 0, cursor": (0, "list has no compiled form"),
    "x = {}\nreturn END, 0, cursor": (0, "dict has no compiled form"),
    "x = {1}\nreturn END, 0, cursor": (0, "set has no compiled form"),
    "try:\n    x = 1\nexcept ValueError:\n    x = 2\nreturn END, x, cursor": (0, "try has no compiled form"),
    "raise ValueError": (0, "raise has no compiled form"),
    "assert cursor\nreturn END, 0, cursor": (0, "assert has no compiled form"),
    "global LIST\nreturn END, 0, cursor": (0, "global has no compiled form"),
    "import os\nreturn END, 0, cursor": (0, "import has no compiled form"),
    "del cursor\nreturn END, 0, 0": (0, "delete has no compiled form"),
    "x = lambda: 1\nreturn END, 0, cursor": (0, "lambda has no compiled form"),
    "x = [i for i in cursor]\nreturn END, 0, cursor": (0, "may have no value yet|listcomp has no compiled form"),
    "if (x := 5):\n    pass\nreturn END, 0, cursor": (0, "namedexpr has no compiled form"),
    "x = f'{cursor}'\nreturn END, 0, cursor": (0, "joinedstr has no compiled form"),
    "for x in cursor:\n    pass\nreturn END, 0, cursor": (0, "only `for name in range"),
    "for x in range(0, 8, cursor[0]):\n    pass\nreturn END, 0, cursor": (0, "only a range whose step is a constant"),
    "for x in range(8, 0, -1):\n    pass\nreturn END, 0, cursor": (0, "only a range whose step is a constant"),
    "for x in range(8, 0, 0):\n    pass\nreturn END, 0, cursor": (0, "only a range whose step is a constant"),
    "for x in range():\n    pass\nreturn END, 0, cursor": (0, "only a range whose step is a constant"),
    "for x in range(3):\n    pass\nelse:\n    pass\nreturn END, 0, cursor": (0, "only `for name in range"),
    "for x, y in range(3):\n    pass\nreturn END, 0, cursor": (0, "only `for name in range"),
    "while cursor[0]:\n    pass\nelse:\n    pass\nreturn END, 0, cursor": (0, "a loop's else has no compiled form"),
    "\n\nreturn END, cursor[0] // cursor[0], cursor": (2, "only division by a constant"),
    "return END, cursor[0] // 0, cursor": (0, "only division by a constant"),
    "return END, cursor[0] / 2, cursor": (0, "div has no compiled form"),
    "return END, cursor[0] ** 2, cursor": (0, "pow has no compiled form"),
    "return END, 1 << 64, cursor": (0, "only a shift by a constant below 64"),
    "return END, 1 >> cursor[0], cursor": (0, "only a shift by a constant below 64"),
    "x = 5\nx >>= cursor[0]\nreturn END, x, cursor": (1, "only a shift by a constant below 64"),
    "return END, cursor[-1], cursor": (0, "only a constant index"),
    "return END, cursor[0:1], cursor": (0, "only a constant index"),
    "return END, LIST, cursor": (0, "'LIST' is neither an integer nor a function that is called"),
    "return END, missing, cursor": (0, "'missing' is not defined"),
    "return END, math.pi, cursor": (0, "'math.pi' is neither an integer"),
    "return END, math.nothing, cursor": (0, "'math.nothing' has no compiled form"),
    "return END, math.sqrt(4), cursor": (0, "'math.sqrt' has no compiled form"),
    "return END, len(cursor), cursor": (0, "'len' has no compiled form"),
    "return END, helper(x=1), cursor": (0, "only positional arguments"),
    "return END, helper(*cursor), cursor": (0, "only positional arguments"),
    "return END, mem.load(8), cursor": (0, "the method 'load' has no compiled form"),
    "return END, cursor is None, cursor": (0, "'is', and 'in' within a chain, have no compiled form|None"),
    "return END, 1 in cursor, cursor": (0, "'in' has a compiled form only before a tuple"),
    "return END, 1 in (), cursor": (0, "'in' has a compiled form only before a tuple"),
    "return END, 1 < 2 in (2, 3), cursor": (0, "'is', and 'in' within a chain"),
    "cursor[0] = 1\nreturn END, 0, cursor": (0, "only plain names can be assigned to"),
    "mem.x = 1\nreturn END, 0, cursor": (0, "only plain names can be assigned to"),
    "mem.x += 1\nreturn END, 0, cursor": (0, "only plain names can be assigned to"),
    "a, *b = cursor\nreturn END, 0, cursor": (0, "only plain names can be assigned to"),
    "if cursor[0]:\n    return\nreturn END, 0, cursor": (1, "a return without a value"),
    "if cursor[0]:\n    return END, 0, cursor": (-1, "'step' may end without a return"),
    "while cursor[0]:\n    return END, 0, cursor": (-1, "'step' may end without a return"),
    "while True:\n    if cursor[0]:\n        break\n    return END, 0, cursor": (-1, "'step' may end without a return"),
    "_u_x = 1\nreturn END, _u_x, cursor": (-1, "names that begin with _u_ are taken"),
}

UNASSIGNED = {
    "if cursor[0]:\n    x = 1\nreturn END, x, cursor": 2,
    "x: int\nreturn END, x, cursor": 1,
    "x += 1\nreturn END, x, cursor": 0,
    "while cursor[0]:\n    x = 1\n    break\nreturn END, x, cursor": 3,
    "for x in range(cursor[0]):\n    pass\nreturn END, x, cursor": 2,
    "for i in range(x):\n    x = 1\nreturn END, 0, cursor": 0,
    "while x:\n    x = 1\nreturn END, 0, cursor": 0,
    "if cursor[0]:\n    x = 1\nelif cursor[0] & 2:\n    pass\nelse:\n    x = 2\nreturn END, x, cursor": 6,
    "x = y\ny = 1\nreturn END, x, cursor": 0,
    "x, y = y, 1\nreturn END, x, cursor": 0,
}

ASSIGNED = (
    "if cursor[0]:\n    x = 1\nelse:\n    x = 2\nreturn END, x, cursor",
    "if cursor[0]:\n    return END, 0, cursor\nelse:\n    x = 2\nreturn END, x, cursor",
    "x = 0\nfor i in range(3):\n    if i == 1:\n        continue\n    y = i\n    x = x + y\nreturn END, x, cursor",
    "for i in range(3):\n    if i:\n        y = 1\n    else:\n        break\n    i = y\nreturn END, 0, cursor",
    "x: int = 5\nreturn END, x, cursor",
    "while True:\n    return END, 0, cursor",
    "while True:\n    while cursor[0]:\n        break\n    return END, 0, cursor",
)


@pytest.mark.parametrize("body", REFUSED)
def test_what_is_refused(tmp_path: Path, body: str) -> None:
    line, reason = REFUSED[body]
    with pytest.raises(NotLowerable, match=reason) as raised:
        form(step_of(tmp_path, body))
    assert str(raised.value).startswith(f"line {FIRST + line}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("body", UNASSIGNED)
def test_what_may_have_no_value(tmp_path: Path, body: str) -> None:
    with pytest.raises(NotLowerable, match="may have no value yet") as raised:
        form(step_of(tmp_path, body))
    assert str(raised.value).startswith(f"line {FIRST + UNASSIGNED[body]}: ")


@pytest.mark.parametrize("body", ASSIGNED)
def test_what_has_a_value(tmp_path: Path, body: str) -> None:
    step = step_of(tmp_path, body)
    assert form(step)(None, (1,)) == step(None, (1,))


RANGED = "def step(mem, cursor):\n    for i in range(3):\n        pass\n    return END, 0, cursor\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("step = lambda mem, cursor: (END, 0, cursor)\n", "not a plain, undecorated def"),
        ("@staticmethod\ndef step(mem, cursor):\n    return END, 0, cursor\n", "is not a plain function"),
        ("def step(mem, cursor, more=1):\n    return END, 0, cursor\n", "other than plain positional parameters"),
        ("def step(mem, *cursor):\n    return END, 0, cursor\n", "other than plain positional parameters"),
        ("async def step(mem, cursor):\n    return END, 0, cursor\n", "not a plain, undecorated def"),
        ("def step(mem, cursor):\n    return step(mem, cursor)\n", "step calls itself"),
        ("def other(c):\n    return step(0, c)\ndef step(mem, c):\n    return END, other(c), c\n", "step calls itself"),
        ("def step(mem, cursor):\n    return END, endless(1), cursor\n", "endless calls itself"),
        (f"def range(x):\n    return x\n{RANGED}", "only `for name in range"),
    ],
)  # fmt: skip
def test_functions_of_the_wrong_kind(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "plug.py"
    path.write_text(f"{HEAD}{text}UNWINDER = Unwinder('plug', 'plug', '', start, step)\n")
    with pytest.raises(NotLowerable, match=reason):
        form(load_unwinder(path).step)


def test_a_builtin_by_another_name(tmp_path: Path) -> None:
    assert form(step_of(tmp_path, "return END, least(7, 3), cursor"))(None, (1,)) == (1, 3, (1,))


def test_a_refused_function_leaves_nothing_behind(tmp_path: Path) -> None:
    """After a refusal the same forms still serve others, and the refused one is refused again."""
    forms = PlainForms(PRIMITIVES)
    bad = step_of(tmp_path, "return END, endless(1), cursor")
    for _ in range(2):
        with pytest.raises(NotLowerable, match="endless calls itself"):
            forms.form(bad)


def test_loops_burn_fuel_and_it_is_filled_again(tmp_path: Path) -> None:
    step = form(step_of(tmp_path, "x = 0\nwhile cursor[0] != x:\n    x = x + 1\nreturn END, x, cursor"))
    assert step(None, (1000,))[1] == 1000
    with pytest.raises(LoopBudgetSpent):
        step(None, (1 << 40,))
    assert step(None, (1 << 19,))[1] == 1 << 19
    assert step(None, (1 << 19,))[1] == 1 << 19


def test_registers_are_read_by_name(tmp_path: Path) -> None:
    step_of(tmp_path, "return END, 0, cursor")
    start = form(load_unwinder(tmp_path / "plug.py").start)
    assert start(0, 1, Regs(1, 2, 3, 4, 5)) == (2,)
