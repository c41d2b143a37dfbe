"""Loops over ranges as loops that count, and what follows a loop that never ends by itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lab.lowering.source import NotLowerable

RESERVED = "_u_"
"""Begins the names that rewriting adds; no function may use such a name itself."""


def counted_loop(node: ast.For, number: int, first: ast.expr, end: ast.expr, step: int) -> ast.stmt:
    """``for name in range(first, end, step)`` with its rounds counted beforehand, so that nothing can overflow.

    numba's own range takes its bounds for signed.  *number* tells the added names from those of other loops.
    """
    assert isinstance(node.target, ast.Name)
    at, to, left = added_names(number)
    text = f"""
if True:
    {at} = 0
    {to} = 0
    {left} = ({to} - {at} - 1) // {step} + 1 if {at} < {to} else 0
    while {left} != 0:
        {left} = {left} - 1
        {node.target.id} = {at}
        {at} = {at} + {step}
"""
    (whole,) = ast.parse(text).body
    assert isinstance(whole, ast.If)
    for part in ast.walk(whole):
        ast.copy_location(part, node)
    for statement, value in zip(whole.body, (first, end), strict=False):
        assert isinstance(statement, ast.Assign)
        statement.value = value
    loop = whole.body[3]
    assert isinstance(loop, ast.While)
    loop.body += node.body
    return whole


def added_names(number: int) -> tuple[str, str, str]:
    """What ``counted_loop`` calls its variables."""
    return f"{RESERVED}at{number}", f"{RESERVED}to{number}", f"{RESERVED}left{number}"


def check_returns(function: ast.FunctionDef) -> ast.Return | None:
    """NotLowerable where one path returns a value and another does not: compiled code has no None.

    Where a ``while True`` is left only by returning, one of the returns: compiled code leaves such a loop when
    its fuel is spent, and what it returns then is not looked at.
    """
    returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    valued = [node for node in returns if node.value is not None]
    if not valued:
        return None
    bare = next((node for node in returns if node.value is None), None)
    if bare is not None:
        raise NotLowerable(f"line {bare.lineno}: a return without a value, where another has one")
    if _passes(function.body):
        raise NotLowerable(f"line {function.lineno}: '{function.name}' may end without a return")
    return valued[-1] if any(_endless(node) for node in ast.walk(function)) else None


def _passes(body: list[ast.stmt]) -> bool:
    """Whether control may come out of *body* at its end."""
    return all(_statement_passes(statement) for statement in body)


def _statement_passes(node: ast.stmt) -> bool:
    if isinstance(node, ast.Return | ast.Break | ast.Continue):
        return False
    if isinstance(node, ast.If):
        return _passes(node.body) or _passes(node.orelse)
    return not _endless(node)


def _endless(node: ast.AST) -> bool:
    """A ``while True`` without a break."""
    forever = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
    return forever and not any(_breaks(node))


def _breaks(loop: ast.AST) -> Iterator[bool]:
    """True for each break out of *loop* itself."""
    for child in ast.iter_child_nodes(loop):
        if isinstance(child, ast.Break):
            yield True
        elif not isinstance(child, ast.While | ast.For):
            yield from _breaks(child)
