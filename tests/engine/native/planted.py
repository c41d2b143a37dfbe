"""The native engine with one of its safeguards taken out: the tests must notice, or they test nothing."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lab.engine.native import engine as native
from lab.engine.native.compiling import Compiled, compiled
from lab.engine.native.generate import evaluator_module, hook_module
from lab.unwind.api import Unwinder


@dataclass(frozen=True)
class Fault:
    """What is done to the function *function* of the generated text, of the hook or of every evaluator."""

    function: str
    change: Callable[[ast.FunctionDef], None]
    hook: bool = False

    def plant(self, text: str) -> str:
        """*text* with the fault in it."""
        tree = ast.parse(text)
        found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and _own_name(n.name) == self.function]
        assert len(found) == 1, f"{self.function}: {len(found)} of them in the generated text"
        before = ast.unparse(found[0])
        self.change(found[0])
        changed = ast.unparse(ast.fix_missing_locations(tree))
        assert ast.unparse(found[0]) != before
        return changed


def _own_name(name: str) -> str:
    """``_u_12_clamp`` is ``clamp``."""
    return name.split("_", 3)[3] if name.startswith("_u_") else name


def _does_nothing(function: ast.FunctionDef) -> None:
    last = function.body[-1]
    assert isinstance(last, ast.Return)
    function.body = [last]


def _says_true(function: ast.FunctionDef) -> None:
    function.body = [ast.Return(ast.Constant(value=True))]


def _without_first_if(function: ast.FunctionDef) -> None:
    first = min(index for index, statement in enumerate(function.body) if isinstance(statement, ast.If))
    function.body[first] = ast.Pass()


def _without_ifs(function: ast.FunctionDef) -> None:
    function.body = [statement for statement in function.body if not isinstance(statement, ast.If)]


def _says_false(function: ast.FunctionDef) -> None:
    function.body = [ast.Return(ast.Constant(value=False))]


def _ignores_the_exception(function: ast.FunctionDef) -> None:
    """``steps + level > BUDGET or lowest < plain_low``: only the first part is left."""
    test = next(
        n for n in function.body if isinstance(n, ast.If) and isinstance(n.test, ast.BoolOp) and "steps" in _text(n)
    )
    assert isinstance(test.test, ast.BoolOp)
    test.test = test.test.values[0]


def _first_slot_alone(function: ast.FunctionDef) -> None:
    loop = next(n for n in function.body if isinstance(n, ast.While))
    loop.body.append(ast.Break())


def _ignores_the_overlay(function: ast.FunctionDef) -> None:
    """``anew or (SP has changed and lowest < plain_low)``: only the first part is left."""
    test = next(n for n in function.body if isinstance(n, ast.If))
    assert isinstance(test.test, ast.BoolOp)
    test.test = test.test.values[0]


def _without_second_if(function: ast.FunctionDef) -> None:
    second = [index for index, statement in enumerate(function.body) if isinstance(statement, ast.If)][1]
    function.body[second] = ast.Pass()


def _keeps_its_numbers(function: ast.FunctionDef) -> None:
    """``put(s, LEVELS_HOLD, min(..., level - 1))`` is left out."""
    function.body = [n for n in function.body if not (isinstance(n, ast.Expr) and "min(" in ast.unparse(n))]


def _text(node: ast.If) -> str:
    return ast.unparse(node.test)


FAULTS = {
    "stores": Fault("stored", _does_nothing, hook=True),
    "exception": Fault("known", _ignores_the_exception),
    "first-step": Fault("mark_start", _does_nothing),
    "returns": Fault("clamp", _does_nothing),
    "span": Fault("enter_span", _without_ifs, hook=True),
    "pc": Fault("by_row", _says_true),
    "registers": Fault("used", _does_nothing),
    "features": Fault("stored", _without_first_if, hook=True),
    "landing": Fault("only_top", _says_false, hook=True),
    "row": Fault("enter_span", _without_second_if, hook=True),
    "slots": Fault("stored", _first_slot_alone, hook=True),
    "overlay": Fault("stale", _ignores_the_overlay, hook=True),
    "recall-stores": Fault("overwritten", _says_false, hook=True),
    "recall-marks": Fault("marks_begin", _does_nothing),
    "recall-first-step": Fault("mark_start_again", _does_nothing, hook=True),
    "recall-untold": Fault("untold", _says_false, hook=True),
    "recall-calls": Fault("push", _keeps_its_numbers, hook=True),
    "recall-epoch": Fault("new_epoch", _does_nothing, hook=True),
    "recall-elsewhere": Fault("listed", _says_true, hook=True),
    "recall-shadow": Fault("on_shadow_stack", _says_true, hook=True),
    "recall-beyond": Fault("learn", _without_first_if, hook=True),
    "recall-below": Fault("learn", _without_second_if, hook=True),
}


def plant(name: str, patch: pytest.MonkeyPatch) -> None:
    """From now on the engine has the fault *name*."""
    fault = FAULTS[name]

    def hook() -> Compiled:
        return compiled(fault.plant(hook_module()))

    def evaluator(unwinder: Unwinder) -> Compiled:
        return compiled(fault.plant(evaluator_module(unwinder)))

    if fault.hook:
        patch.setattr(native, "compiled_hook", hook)
    else:
        patch.setattr(native, "compiled_evaluator", evaluator)
