"""Rewrites a function's tree into a dialect."""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import cache
from typing import Any

from lab.lowering.assigned import check_assigned
from lab.lowering.copying import copied
from lab.lowering.loops import RESERVED, added_names, check_returns, counted_loop
from lab.lowering.source import MASK64, Dialect, NotLowerable, Source

_WRAPS = (ast.Add, ast.Sub, ast.Mult, ast.LShift)
_STAYS = (ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor)
_DIVIDES = (ast.FloorDiv, ast.Mod)


@cache
def _checked(function: ast.FunctionDef) -> ast.Return | None:
    """What ``check_returns`` gives, of a function that is in order; once, however many modules it is part of."""
    check_assigned(function)
    return check_returns(function)


class Lowering(ast.NodeTransformer):
    """Rewrites one function's tree into a dialect."""

    def __init__(self, source: Source, dialect: Dialect) -> None:
        self.source, self.dialect = source, dialect
        self.loops = False
        self._ranges = 0

    def lower(self) -> ast.FunctionDef:
        """The rewritten function, without docstring and annotations."""
        taken = next((name for name in sorted(self.source.local) if name.startswith(RESERVED)), None)
        if taken is not None:
            raise self.refuse(self.source.node, f"'{taken}': names that begin with {RESERVED} are taken")
        spare = _checked(self.source.node)
        node = copied(self.source.node)
        if spare is not None:
            node.body.append(copied(spare))
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        node.body = self._block(body) or [ast.Pass()]
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        return ast.fix_missing_locations(node)

    def refuse(self, node: ast.AST, what: str) -> NotLowerable:
        """The refusal of *node*."""
        return NotLowerable(f"line {getattr(node, 'lineno', 0)}: {what}")

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Whatever is not listed below has no shared meaning."""
        raise self.refuse(node, f"{type(node).__name__.lower()} has no compiled form")

    # -- statements -----------------------------------------------------------------------------------------

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [self.visit(statement) for statement in body]

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        return ast.copy_location(ast.Return(self.visit(node.value) if node.value else None), node)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        for target in node.targets:
            self._target(target)
        return ast.copy_location(ast.Assign(node.targets, self.visit(node.value)), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self._target(node.target)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], self.visit(node.value)), node)

    def _target(self, target: ast.expr) -> None:
        if isinstance(target, ast.Tuple):
            for element in target.elts:
                self._target(element)
        elif not isinstance(target, ast.Name):
            raise self.refuse(target, "only plain names can be assigned to")

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        self._target(node.target)
        assert isinstance(node.target, ast.Name)
        whole = ast.copy_location(ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value), node)
        return ast.copy_location(ast.Assign([node.target], self.visit(whole)), node)

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return ast.copy_location(ast.Expr(self.visit(node.value)), node)

    def visit_Pass(self, node: ast.Pass) -> ast.stmt:
        return node

    def visit_Break(self, node: ast.Break) -> ast.stmt:
        return node

    def visit_Continue(self, node: ast.Continue) -> ast.stmt:
        return node

    def visit_If(self, node: ast.If) -> ast.stmt:
        return ast.copy_location(ast.If(self.visit(node.test), self._block(node.body), self._block(node.orelse)), node)

    def visit_While(self, node: ast.While) -> ast.stmt:
        self.loops = True
        test, fuel = self.visit(node.test), self.dialect.fuel()
        if fuel is not None:
            test = ast.BoolOp(ast.And(), [fuel, test])
        if node.orelse:
            raise self.refuse(node, "a loop's else has no compiled form")
        return ast.copy_location(ast.While(test, self._block(node.body), []), node)

    def visit_For(self, node: ast.For) -> ast.stmt:
        call = node.iter
        ranged = isinstance(call, ast.Call) and not call.keywords and self._is_range(call.func)
        if not ranged or node.orelse or not isinstance(node.target, ast.Name):
            raise self.refuse(node, "only `for name in range(...)` has a compiled form")
        assert isinstance(call, ast.Call)
        bounds = call.args if len(call.args) > 1 else [ast.copy_location(ast.Constant(0), node), *call.args]
        step = self._number(bounds[2]) if len(bounds) == 3 else 1
        if len(bounds) not in {2, 3} or step is None or not 0 < step <= MASK64:
            raise self.refuse(node, "only a range whose step is a constant above zero has a compiled form")
        self._ranges += 1
        self.source = replace(self.source, local=self.source.local | set(added_names(self._ranges)))
        return self.visit(counted_loop(node, self._ranges, bounds[0], bounds[1], step))  # type: ignore[no-any-return]

    def _is_range(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and not self._is_local(node) and self._resolve(node) is range

    # -- expressions ----------------------------------------------------------------------------------------

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, bool):
            return node
        if not isinstance(node.value, int):
            raise self.refuse(node, f"{node.value!r} is not an integer")
        return ast.copy_location(self.dialect.constant(node.value & MASK64), node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.source.local:
            return ast.copy_location(self.dialect.local(node), node)
        return self._fixed(node, self._resolve(node))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if self._is_local(node.value):
            return ast.copy_location(self.dialect.attribute(self.visit(node.value), node.attr), node)
        return self._fixed(node, self._resolve(node))

    def _is_local(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.source.local

    def _resolve(self, node: ast.expr) -> Any:
        """What a name, or a dotted name, that is not local stands for."""
        if isinstance(node, ast.Name):
            if node.id not in self.source.scope:
                raise self.refuse(node, f"'{node.id}' is not defined")
            return self.source.scope[node.id]
        if isinstance(node, ast.Attribute) and not self._is_local(node.value):
            owner = self._resolve(node.value)
            if hasattr(owner, node.attr):
                return getattr(owner, node.attr)
        raise self.refuse(node, f"'{ast.unparse(node)}' has no compiled form")

    def _fixed(self, node: ast.expr, value: Any) -> ast.expr:
        """A constant of the module, put in place."""
        if isinstance(value, tuple):
            return ast.copy_location(ast.Tuple([self._fixed(node, item) for item in value], ast.Load()), node)
        if isinstance(value, bool):
            return ast.copy_location(ast.Constant(value), node)
        if not isinstance(value, int):
            raise self.refuse(node, f"'{ast.unparse(node)}' is neither an integer nor a function that is called")
        return ast.copy_location(self.dialect.constant(int(value) & MASK64), node)

    def visit_Tuple(self, node: ast.Tuple) -> ast.expr:
        return ast.copy_location(ast.Tuple([self.dialect.element(self.visit(e)) for e in node.elts], ast.Load()), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        index = node.slice
        if not isinstance(index, ast.Constant) or type(index.value) is not int:
            raise self.refuse(node, "only a constant index has a compiled form")
        return ast.copy_location(ast.Subscript(self.visit(node.value), index, ast.Load()), node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.RShift | ast.LShift) and not self._small(node.right):
            raise self.refuse(node, "only a shift by a constant below 64 has a compiled form")
        if isinstance(node.op, _WRAPS):
            return ast.copy_location(self.dialect.wrapped(left, node.op, right), node)
        if isinstance(node.op, _DIVIDES) and not self._positive(node.right):
            raise self.refuse(node, "only division by a constant has a compiled form")
        if not isinstance(node.op, (*_STAYS, *_DIVIDES)):
            raise self.refuse(node, f"{type(node.op).__name__.lower()} has no compiled form")
        return ast.copy_location(ast.BinOp(self.dialect.value(left), node.op, self.dialect.value(right)), node)

    def _number(self, node: ast.expr) -> int | None:
        if isinstance(node, ast.Constant):
            return node.value if type(node.value) is int else None
        value = None if self._is_local(node) or not isinstance(node, ast.Name | ast.Attribute) else self._resolve(node)
        return int(value) if isinstance(value, int) else None

    def _small(self, node: ast.expr) -> bool:
        number = self._number(node)
        return number is not None and 0 <= number < 64

    def _positive(self, node: ast.expr) -> bool:
        number = self._number(node)
        return number is not None and 0 < number <= MASK64

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        if isinstance(node.op, ast.Not):
            return ast.copy_location(ast.UnaryOp(node.op, self.visit(node.operand)), node)
        if isinstance(node.op, ast.UAdd):
            return self.visit(node.operand)  # type: ignore[no-any-return]
        operand = self.dialect.value(self.visit(node.operand))
        if isinstance(node.op, ast.USub):
            return ast.copy_location(self.dialect.wrapped(self.dialect.constant(0), ast.Sub(), operand), node)
        return ast.copy_location(ast.BinOp(operand, ast.BitXor(), self.dialect.constant(MASK64)), node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        return ast.copy_location(ast.BoolOp(node.op, [self.visit(value) for value in node.values]), node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        parts = (self.visit(node.test), self.visit(node.body), self.visit(node.orelse))
        return ast.copy_location(ast.IfExp(*parts), node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            return self._membership(node)
        if any(isinstance(op, ast.In | ast.NotIn | ast.Is | ast.IsNot) for op in node.ops):
            raise self.refuse(node, "'is', and 'in' within a chain, have no compiled form")
        left = self.visit(node.left)
        return ast.copy_location(ast.Compare(left, node.ops, [self.visit(c) for c in node.comparators]), node)

    def _membership(self, node: ast.Compare) -> ast.expr:
        """``x in (a, b)`` as ``x == a or x == b``."""
        container = self.visit(node.comparators[0])
        if len(node.ops) != 1 or not isinstance(container, ast.Tuple) or not container.elts:
            raise self.refuse(node, "'in' has a compiled form only before a tuple that is written out")
        left = node.left
        equals: list[ast.expr] = [ast.Compare(self.visit(left), [ast.Eq()], [element]) for element in container.elts]
        whole = ast.BoolOp(ast.Or(), equals) if len(equals) > 1 else equals[0]
        return ast.copy_location(whole if isinstance(node.ops[0], ast.In) else ast.UnaryOp(ast.Not(), whole), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            raise self.refuse(node, "only positional arguments have a compiled form")
        arguments = [self.visit(argument) for argument in node.args]
        if isinstance(node.func, ast.Attribute) and self._is_local(node.func.value):
            raise self.refuse(
                node, f"the method '{node.func.attr}' has no compiled form; use the function of that name"
            )
        value = self._resolve(node.func) if not self._is_local(node.func) else None
        if (value is min or value is max) and len(arguments) > 1:
            plain = ast.Name(value.__name__, ast.Load())  # the function may call it by another name
            return ast.copy_location(ast.Call(plain, [self.dialect.value(a) for a in arguments], []), node)
        if not self.dialect.callable(value):
            raise self.refuse(node, f"'{ast.unparse(node.func)}' has no compiled form")
        return ast.copy_location(self.dialect.call(value, arguments), node)
