"""How the functions of a generated module are compiled: typed and lowered one by one, made into machine code together.

numba makes machine code, and a form that Python can call, of every function by itself, each time with all that it
calls optimised anew.  None of that is wanted of a function that is only ever called by compiled code.  ``inner``
leaves it at LLVM's intermediate form, so that only the module's ``entry``, into which all the others are inlined, is
optimised, and once.

Source: numba's documentation of custom pipelines, and numba/core/{typed_passes,codegen}.py of the version that the
lock file names.
"""

from __future__ import annotations

import builtins
import dis
from types import FunctionType, NoneType
from typing import Any

import numpy as np
from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, _LowerResult
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """The code of one function, neither optimised nor linked with what it calls."""

    def finalize(self) -> None:
        """There is nothing to finish."""
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        """The code of this function and of all that it calls, each once.

        Callers come before what they call: LLVM leaves out a function that nothing linked so far refers to.
        """
        order: list[Any] = []
        _callees_first(self, set(), order)
        whole = self._own_module()
        for library in reversed(order[:-1]):
            if isinstance(library, _Library):
                whole.link_in(library._own_module())
            else:
                whole.link_in(library._get_module_for_linking(), preserve=True)
        return whole

    def _own_module(self) -> Any:
        module = self._final_module.clone()
        for function in module.functions:
            if not function.is_declaration:
                function.linkage = "linkonce_odr"
        return module


def _callees_first(library: Any, seen: set[Any], order: list[Any]) -> None:
    """Appends *library* and, before it, all that it links with and that is not in *seen* yet."""
    seen.add(library)
    if isinstance(library, _Library):
        for other in library._linking_libraries:
            if other not in seen:
                _callees_first(other, seen, order)
    order.append(library)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowered(NativeLowering):  # type: ignore[misc]
    """Lowers a function and leaves it there."""

    _name = "unwindlab_inner_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        key = _never_called()
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=key, env=lowered.env)
        return True


def _never_called() -> Any:
    """What stands for a function that has no form Python can call: numba wants a built-in one, another each time."""
    return [].pop


class _Pipeline(CompilerBase):  # type: ignore[misc]
    """The passes that generated text needs: it has no closures, no loops to lift and nothing to rewrite."""

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("unwindlab_inner")
        for step in (
            *(TranslateByteCode, FixupArgs, IRProcessing, DeadBranchPrune, GenericRewrites, ReconstructSSA),
            *(NopythonTypeInference, PreLowerStripPhis, IRLegalization, _Lowered, NoPythonBackend),
        ):
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]


_OPTIONS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": _Pipeline}
_inlined, _called = njit(forceinline=True, **_OPTIONS), njit(forceinline=False, **_OPTIONS)
_known: dict[tuple[Any, ...], Any] = {}


def inner(function: FunctionType) -> Any:
    """Decorates a function that only compiled code calls, into which it is inlined."""
    return _shared(function, _inlined)


def outer(function: FunctionType) -> Any:
    """Decorates one that is seldom called, or from many places: it is inlined where that seems good to LLVM."""
    return _shared(function, _called)


def _shared(function: FunctionType, compiler: Any) -> Any:
    """What *compiler* makes of *function*.

    Modules have most of their functions in common, under other names: one with the same code, in which every name
    stands for the same, is typed and lowered once in a process.
    """
    code, scope = function.__code__, function.__globals__
    attributes = {at.argval for at in dis.get_instructions(code) if at.opname in {"LOAD_ATTR", "LOAD_METHOD"}}
    named = tuple(_meaning(scope[n]) if n in scope and n not in attributes else n for n in code.co_names)
    written = (*map(_meaning, code.co_consts),)
    key = (compiler, code.co_code, code.co_exceptiontable, code.co_varnames, code.co_argcount, named, written)
    if key not in _known:
        _known[key] = compiler(_of_no_module(function))
    return _known[key]


def _of_no_module(function: FunctionType) -> FunctionType:
    """*function*, but numba cannot tell its module: what it keeps on disk of the functions that call this one would
    name that module, and only the module's own would be there where it is loaded."""
    scope = function.__globals__
    apart = {name: scope[name] for name in function.__code__.co_names if name in scope}
    made = FunctionType(function.__code__, apart | {"__builtins__": builtins}, function.__name__)
    made.__module__ = None  # type: ignore[assignment]
    return made


def _meaning(value: Any) -> Any:
    """Equal for two values only where they are the same constant, or one and the same object."""
    if isinstance(value, np.uint64 | int | str | NoneType):
        return type(value), value
    if isinstance(value, tuple):
        return tuple, *map(_meaning, value)
    return _Same(value)


class _Same:
    """Equal to itself alone; keeps its object, whose identity then stands for nothing else."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)
