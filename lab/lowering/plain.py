"""The dialect of the reference engine: plain Python whose arithmetic wraps at 64 bits and whose loops end."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from lab.lowering.rewrite import Lowering
from lab.lowering.source import MASK64, Dialect, NotLowerable, take_apart

LOOP_BUDGET = 1 << 20
"""Rounds that the loops of one start or step may make together."""


class LoopBudgetSpent(Exception):  # noqa: N818  the host's business, not an error of the lab
    """A start or step went round its loops LOOP_BUDGET times."""


class Fuel:
    """What loops burn."""

    def __init__(self) -> None:
        self.left = LOOP_BUDGET

    def burn(self) -> bool:
        """One round; LoopBudgetSpent where there are no more."""
        if self.left <= 0:
            raise LoopBudgetSpent
        self.left -= 1
        return True


class _Plain(Dialect):
    """``callees`` maps the name in the rewritten text to the function it stands for."""

    def __init__(self, kept: frozenset[FunctionType]) -> None:
        self.kept = kept
        self.callees: dict[str, FunctionType] = {}

    def wrapped(self, left: ast.expr, operator: ast.operator, right: ast.expr) -> ast.expr:
        return ast.BinOp(ast.BinOp(left, operator, right), ast.BitAnd(), ast.Constant(MASK64))

    def attribute(self, base: ast.expr, name: str) -> ast.expr:
        return ast.Attribute(base, name, ast.Load())

    def call(self, function: Any, arguments: list[ast.expr]) -> ast.expr:
        name = next((n for n, f in self.callees.items() if f is function), f"_{len(self.callees)}_{function.__name__}")
        self.callees[name] = function
        return ast.Call(ast.Name(name, ast.Load()), arguments, [])

    def fuel(self) -> ast.expr:
        return ast.Call(ast.Name("_burn", ast.Load()), [], [])


class PlainForms:
    """Rewritten functions; *kept* are called as they are (the lab's own, which wrap already)."""

    def __init__(self, kept: frozenset[FunctionType]) -> None:
        self.kept = kept
        self.fuel = Fuel()
        self._done: dict[FunctionType, tuple[Callable[..., Any], bool]] = {}
        self._under_way: list[FunctionType] = []

    def form(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """*function* in this dialect, with its fuel filled at each call if it loops; NotLowerable if it has none."""
        rewritten, loops = self._form(function)
        if not loops:
            return rewritten
        fuel = self.fuel

        def fuelled(*arguments: Any) -> Any:
            fuel.left = LOOP_BUDGET
            return rewritten(*arguments)

        return fuelled

    def _form(self, function: Callable[..., Any]) -> tuple[Callable[..., Any], bool]:
        source = take_apart(function)
        function = source.function
        if function in self._under_way:
            raise NotLowerable(f"{function.__name__} calls itself")
        if function not in self._done:
            self._under_way.append(source.function)
            try:
                self._done[source.function] = self._rewrite(source.function)
            finally:
                self._under_way.pop()
        return self._done[source.function]

    def _rewrite(self, function: FunctionType) -> tuple[Callable[..., Any], bool]:
        source = take_apart(function)
        dialect = _Plain(self.kept)
        lowering = Lowering(source, dialect)
        module = ast.Module([lowering.lower()], [])
        loops = lowering.loops
        namespace: dict[str, Any] = {"_burn": self.fuel.burn, "min": min, "max": max, "range": range}
        for name, callee in dialect.callees.items():
            if callee in self.kept:
                namespace[name] = callee
            else:
                namespace[name], inner = self._form(callee)
                loops = loops or inner
        exec(compile(module, source.file, "exec"), namespace)
        return namespace[source.node.name], loops


@cache
def plain_forms(kept: frozenset[FunctionType]) -> PlainForms:
    """The forms of this process; functions are rewritten once."""
    return PlainForms(kept)
