"""Refuses a function in which a local variable may be used before it has a value.

Python would raise there; compiled code would go on with whatever is in the register.
"""

from __future__ import annotations

import ast

from lab.lowering.source import NotLowerable

_Names = frozenset[str]
_EVERY: _Names | None = None
"""After a return, break or continue nothing runs: as good as every name being assigned."""


def check_assigned(function: ast.FunctionDef) -> None:
    """NotLowerable if some path through *function* reads a local variable that it has not assigned."""
    parameters = frozenset(a.arg for a in function.args.args)
    local = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    _block(function.body, parameters, frozenset(local - parameters))


def _block(body: list[ast.stmt], assigned: _Names | None, local: _Names) -> _Names | None:
    for statement in body:
        assigned = _statement(statement, assigned, local)
    return assigned


def _statement(node: ast.stmt, assigned: _Names | None, local: _Names) -> _Names | None:
    if assigned is None:
        return None
    if isinstance(node, ast.If):
        _read(node.test, assigned, local)
        return _meet(_block(node.body, assigned, local), _block(node.orelse, assigned, local))
    if isinstance(node, ast.While):
        _read(node.test, assigned, local)
        _block(node.body, assigned, local)
        return assigned
    if isinstance(node, ast.For):
        _read(node.iter, assigned, local)
        _block(node.body, assigned | _stored(node.target), local)
        return assigned
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return assigned  # an annotation, and no value
    _read(node, assigned, local)
    if isinstance(node, ast.Return | ast.Break | ast.Continue):
        return _EVERY
    return assigned | _stored(node)


def _meet(one: _Names | None, other: _Names | None) -> _Names | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _stored(node: ast.AST) -> _Names:
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _read(node: ast.AST, assigned: _Names, local: _Names) -> None:
    for name in ast.walk(node):
        read = isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load)
        augmented = isinstance(name, ast.AugAssign) and isinstance(name.target, ast.Name)
        if read and name.id in local - assigned:  # type: ignore[attr-defined]
            raise NotLowerable(f"line {name.lineno}: '{name.id}' may have no value yet")  # type: ignore[attr-defined]
        if augmented and name.target.id in local - assigned:  # type: ignore[attr-defined]
            raise NotLowerable(f"line {name.lineno}: '{name.target.id}' may have no value yet")  # type: ignore[attr-defined]
