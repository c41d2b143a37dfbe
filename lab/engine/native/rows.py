"""How a design depends on the pc: not at all, through ``where`` and ``rule`` alone, or in some other way.

A walk whose registers and memory have not changed says again what it said, if the pc takes no part in it, or
only through ``where(mem, pc)``, ``where_offset(mem, pc)`` and ``rule(mem, TABLE, pc)``, which are the same throughout a
span of code.
This is read from the source; whatever is not plainly so counts as another way, and is walked at every stop.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Any

from lab.engine.native.cells import Changed
from lab.lowering.source import NotLowerable, Source, take_apart
from lab.unwind import api
from lab.unwind.api import Unwinder

NO_PC = -1
_LOOKS_UP: dict[Any, tuple[int, Changed]] = {
    api.where: (2, Changed.ROW),
    api.where_offset: (2, Changed.ROW),
    api.rule: (3, Changed.RULE),
}
"""How many arguments those take that give the same throughout a span, the pc last; and what notes that it does not."""


def row_word(unwinder: Unwinder) -> int | None:
    """NO_PC; or the word of the cursor that is the pc and that ``where`` and ``rule`` alone use; None otherwise."""
    try:
        start, step = take_apart(unwinder.start), take_apart(unwinder.step)
    except NotLowerable:
        return None
    if len(start.node.args.args) != 3 or len(step.node.args.args) != 2:
        return None
    pc, regs = (argument.arg for argument in start.node.args.args[1:])
    if not _registers_apart(start.node, regs):
        return None
    used = _loads(start.node, pc)
    if not used and pc not in _stored(start.node):
        return NO_PC
    words = {index for index, element in _returned(start.node) if _is_pc(element, pc)}
    if len(words) != 1 or pc in _stored(start.node):
        return None
    (word,) = words
    allowed = [*_asked(start), *(name for i, e in _returned(start.node) if i == word for name in _loads(e, pc))]
    return word if len(allowed) == len(used) and _step_agrees(step, word) else None


def reads(unwinder: Unwinder) -> tuple[int, int]:
    """The changes (bits of ``Changed``) that may alter a walk of *unwinder*, all where that is not plain; and those
    of them that do so only if its first step takes the register from the cursor."""
    word = row_word(unwinder)
    if word is None:
        return sum(Changed), 0
    start = take_apart(unwinder.start).node
    regs = start.args.args[2].arg
    asked = {n.attr for n in ast.walk(start) if isinstance(n, ast.Attribute) and _is_name(n.value, regs)}
    registers = sum(Changed[name.upper()] for name in asked)
    tracked = reduce(or_, tracked_names(unwinder).values(), 0)
    return registers | Changed.TRUTH | (0 if word == NO_PC else _rows(unwinder, word)), tracked


def _rows(unwinder: Unwinder, word: int) -> int:
    """The kinds of rows that *unwinder*, whose cursor has the pc as *word* and only looks it up, asks for."""
    start, step = take_apart(unwinder.start), take_apart(unwinder.step)
    asked = [*_look_ups(start), *_look_ups(step, _unpacked(step.node)[word])]
    return reduce(or_, (_LOOKS_UP[function][1] for function, _ in asked), 0)


def tracked_names(unwinder: Unwinder) -> dict[str, int]:
    """The local variables of ``step`` that hold just what ``start`` took from one register: name -> bit of Changed.

    The cursor's own name stands for all of them.  Empty where start or step are not that plain."""
    try:
        start, step = take_apart(unwinder.start), take_apart(unwinder.step)
    except NotLowerable:
        return {}
    returned = _return_values(start.node)
    names = _unpacked(step.node)
    if len(returned) != 1 or not isinstance(returned[0], ast.Tuple) or len(start.node.args.args) != 3 or not names:
        return {}
    regs = start.node.args.args[2].arg
    uses = [n for n in ast.walk(start.node) if isinstance(n, ast.Attribute) and _is_name(n.value, regs)]
    if len(uses) != len(_loads(start.node, regs)) or len(names) != len(returned[0].elts):
        return {}
    found = {}
    for name, element in zip(names, returned[0].elts, strict=True):
        plain = isinstance(element, ast.Attribute) and _is_name(element.value, regs) and element.attr != "pc"
        if plain and sum(n.attr == element.attr for n in uses) == 1:  # type: ignore[attr-defined]
            found[name] = int(Changed[element.attr.upper()])  # type: ignore[attr-defined]
    return found | {step.node.args.args[1].arg: sum(found.values())} if found else {}


def _unpacked(node: ast.FunctionDef) -> list[str]:
    """The names that a step's first statement takes its cursor apart into."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    first = body[0] if body else None
    if not isinstance(first, ast.Assign) or len(node.args.args) != 2 or len(first.targets) != 1:
        return []
    names = first.targets[0]
    if not _is_name(first.value, node.args.args[1].arg) or not isinstance(names, ast.Tuple):
        return []
    found = [name.id for name in names.elts if isinstance(name, ast.Name)]
    return found if len(found) == len(names.elts) == len(set(found)) else []


def _registers_apart(node: ast.FunctionDef, regs: str) -> bool:
    """Whether *regs* is only ever asked for a register, and never for the pc."""
    asked = [n for n in ast.walk(node) if isinstance(n, ast.Attribute) and _is_name(n.value, regs)]
    return len(asked) == len(_loads(node, regs)) and all(n.attr in {"fp", "lr", "ssp", "hssp", "sp"} for n in asked)


def _step_agrees(step: Source, word: int) -> bool:
    """Whether *step* takes its cursor apart once, and uses *word* of it for ``where`` and that word alone."""
    node, cursor = step.node, step.node.args.args[1].arg
    names = _unpacked(node)
    if word >= len(names):
        return False
    name = names[word]
    stores = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    if sum(n.id == name for n in stores) != 1 or any(n.id == cursor for n in stores):
        return False
    returned = [e.elts[2] for e in _return_values(node) if isinstance(e, ast.Tuple) and len(e.elts) == 3]
    whole = [value for value in returned if _is_name(value, cursor)]
    again = [v.elts[word] for v in returned if isinstance(v, ast.Tuple) and word < len(v.elts)]
    kept = [value for value in again if _is_name(value, name)]
    return len(_loads(node, cursor)) == 1 + len(whole) and len(_loads(node, name)) == len(_asked(step, name)) + len(
        kept
    )


def _asked(source: Source, name: str | None = None) -> list[ast.expr]:
    """The arguments of ``where``, ``where_offset`` and ``rule`` that are just the pc (or *name*)."""
    return [argument for _, argument in _look_ups(source, name)]


def _look_ups(source: Source, name: str | None = None) -> Iterator[tuple[Any, ast.expr]]:
    """(function, its last argument) of every such call."""
    wanted = name or source.node.args.args[1].arg
    for call in ast.walk(source.node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
            function = source.scope.get(call.func.id)
            arguments, _ = _LOOKS_UP.get(function, (0, 0))
            if len(call.args) == arguments and _is_name(call.args[-1], wanted):
                yield function, call.args[-1]


def _returned(node: ast.FunctionDef) -> Iterator[tuple[int, ast.expr]]:
    """(index, element) of every tuple that is returned."""
    for value in _return_values(node):
        if isinstance(value, ast.Tuple):
            yield from enumerate(value.elts)


def _return_values(node: ast.FunctionDef) -> list[ast.expr]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None]


def _is_pc(element: ast.expr, pc: str) -> bool:
    """``pc`` or ``pc - x``; whether x is 0 is seen when it runs."""
    if isinstance(element, ast.BinOp) and isinstance(element.op, ast.Sub):
        return _is_name(element.left, pc) and not _loads(element.right, pc)
    return _is_name(element, pc)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _loads(node: ast.AST, name: str) -> list[ast.Name]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]


def _stored(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
