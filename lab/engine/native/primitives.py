"""The few things compiled code can do that Python cannot: loads, stores and calls at raw host addresses.

Every address, value and result is an unsigned 64-bit integer.  Nothing is checked here: callers stay inside
the arrays and mappings of one run's state block.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

_U64 = ir.IntType(64)


def _load(bits: int) -> Any:
    def load(_typing: Any, address: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer)
            value.align = 1
            return value if bits == 64 else builder.zext(value, _U64)

        return types.uint64(types.uint64), emit

    return intrinsic(load)


def _store(bits: int) -> Any:
    def store(_typing: Any, address: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            narrow = arguments[1] if bits == 64 else builder.trunc(arguments[1], ir.IntType(bits))
            builder.store(narrow, pointer).align = 1
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64), emit

    return intrinsic(store)


load8, load32, load64 = _load(8), _load(32), _load(64)
store8, store32, store64 = _store(8), _store(32), _store(64)


def _call(arguments_count: int) -> Any:
    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_U64, [_U64] * arguments_count)
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])

    return types.uint64(*[types.uint64] * (arguments_count + 1)), emit


@intrinsic  # type: ignore[untyped-decorator]
def call2(_typing: Any, function: Any, a: Any, b: Any) -> Any:
    """Calls the C function at *function* with two arguments."""
    return _call(2)


@intrinsic  # type: ignore[untyped-decorator]
def call3(_typing: Any, function: Any, a: Any, b: Any, c: Any) -> Any:
    """Calls the C function at *function* with three arguments."""
    return _call(3)


@intrinsic  # type: ignore[untyped-decorator]
def call4(_typing: Any, function: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Calls the C function at *function* with four arguments."""
    return _call(4)


@intrinsic  # type: ignore[untyped-decorator]
def get(_typing: Any, block: Any, cell: Any) -> Any:
    """The *cell*-th word of the block at address *block*."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = builder.add(arguments[0], builder.shl(arguments[1], ir.Constant(_U64, 3)))
        return builder.load(builder.inttoptr(address, _U64.as_pointer()))

    return types.uint64(types.uint64, types.uint64), emit


@intrinsic  # type: ignore[untyped-decorator]
def put(_typing: Any, block: Any, cell: Any, value: Any) -> Any:
    """Sets the *cell*-th word of the block at address *block*."""

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = builder.add(arguments[0], builder.shl(arguments[1], ir.Constant(_U64, 3)))
        builder.store(arguments[2], builder.inttoptr(address, _U64.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64), emit


@intrinsic  # type: ignore[untyped-decorator]
def word(_typing: Any, value: Any) -> Any:
    """*value* as an unsigned 64-bit integer, if it is one or a truth value; a TypingError if it is anything else."""
    if value not in (types.uint64, types.boolean):
        raise TypingError(f"a value is {value}, not an unsigned 64-bit integer")

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return context.cast(builder, arguments[0], value, types.uint64)

    return types.uint64(value), emit


@intrinsic  # type: ignore[untyped-decorator]
def element(_typing: Any, value: Any) -> Any:
    """The same for an element of a tuple, which may itself be a tuple of unsigned 64-bit integers."""
    if isinstance(value, types.UniTuple) and value.dtype == types.uint64:
        return value(value), lambda _context, _builder, _signature, arguments: arguments[0]
    if value not in (types.uint64, types.boolean):
        raise TypingError(f"a value is {value}, not an unsigned 64-bit integer")

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return context.cast(builder, arguments[0], value, types.uint64)

    return types.uint64(value), emit
