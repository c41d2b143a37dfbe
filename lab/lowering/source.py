"""A function taken apart, and how its parts are spelt in each engine's dialect."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType, MappingProxyType
from typing import Any

MASK64 = (1 << 64) - 1


class NotLowerable(Exception):  # noqa: N818  a property of the function, not an error of anybody's
    """The function uses something that cannot be rewritten; the text says what and in which line."""


@dataclass(frozen=True)
class Source:
    """One function taken apart.  ``node``: shared by all who ask, not to be changed; ``scope``: what each name that is
    not local stands for."""

    function: FunctionType
    node: ast.FunctionDef
    local: frozenset[str]
    scope: Mapping[str, Any]

    @property
    def file(self) -> str:
        return self.function.__code__.co_filename


def take_apart(function: Callable[..., Any]) -> Source:
    """The syntax tree of *function*, with the line numbers of its file; NotLowerable where there is none."""
    if not isinstance(function, FunctionType):
        raise NotLowerable(f"{getattr(function, '__name__', 'it')} is not a plain function")
    node, local = _parsed(function)
    around = inspect.getclosurevars(function)
    scope = {**vars(builtins), **function.__globals__, **around.nonlocals}
    return Source(function, node, local, MappingProxyType(scope))


@cache
def _parsed(function: FunctionType) -> tuple[ast.FunctionDef, frozenset[str]]:
    """The tree of *function*, not to be changed, and its local names: read once, however many functions call it."""
    name = function.__name__
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError) as error:
        raise NotLowerable(f"{name}: its source is not to be had") from error
    node = tree.body[0] if len(tree.body) == 1 else None
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        raise NotLowerable(f"{name}: not a plain, undecorated def")
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
        raise NotLowerable(f"line {first}: {name} has other than plain positional parameters")
    ast.increment_lineno(node, first - 1)
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return node, frozenset(stored | {a.arg for a in arguments.args})


class Dialect:
    """How the rewritten tree is spelt.  Sub-classed by each engine."""

    def constant(self, value: int) -> ast.expr:
        """An integer, already modulo 2**64."""
        return ast.Constant(value)

    def wrapped(self, left: ast.expr, operator: ast.operator, right: ast.expr) -> ast.expr:
        """``left operator right`` modulo 2**64."""
        raise NotImplementedError

    def attribute(self, base: ast.expr, name: str) -> ast.expr:
        """``regs.name`` or ``mem.name``; NotLowerable where it has none such."""
        raise NotImplementedError

    def callable(self, value: Any) -> bool:
        """Whether *value* is something that ``call`` can call."""
        return isinstance(value, FunctionType)

    def call(self, function: Any, arguments: list[ast.expr]) -> ast.expr:
        """A call of a function of the source."""
        raise NotImplementedError

    def local(self, node: ast.Name) -> ast.expr:
        """A local variable that is read."""
        return node

    def fuel(self) -> ast.expr | None:
        """An expression that burns one unit and is false when there is none left; None: loops are trusted."""
        return None

    def value(self, node: ast.expr) -> ast.expr:
        """*node* as an integer, where it may also be a truth value."""
        return node

    def element(self, node: ast.expr) -> ast.expr:
        """*node* as an element of a tuple that is written out: an integer, or a tuple of them."""
        return node
