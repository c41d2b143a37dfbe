"""A copy of a syntax tree: what ``copy.deepcopy`` makes of one, several times as fast."""

from __future__ import annotations

import ast
from typing import TypeVar

_Node = TypeVar("_Node", bound=ast.AST)


def copied(node: _Node) -> _Node:
    """*node* and all below it, anew; constants and names are shared."""
    made = type(node)()
    for name, value in vars(node).items():
        setattr(made, name, [_part(item) for item in value] if isinstance(value, list) else _part(value))
    return made


def _part(value: object) -> object:
    return copied(value) if isinstance(value, ast.AST) else value
