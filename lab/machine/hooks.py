"""Hooks that unicorn calls as native functions, with no Python between.

A Python hook costs some eighty times bare unicorn at every instruction.  The function here is any address
with C calling convention, for example ``numba.cfunc(...).address``.  Signatures (unicorn 2.1, unicorn.h):

* CODE, ``uc_cb_hookcode_t``: ``void(uc *, uint64 address, uint32 size, void *user)``;
* MEM_READ and MEM_WRITE, ``uc_cb_hookmem_t``: ``void(uc *, int type, uint64 address, int size, int64 value,
  void *user)``; ``type`` is UC_MEM_READ (16) or UC_MEM_WRITE (17).

With exactly one CODE hook unicorn calls it straight from translated code; a second one makes it walk a list.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import unicorn
from unicorn.unicorn_py3.unicorn import uclib

CODE = unicorn.UC_HOOK_CODE
ACCESS = unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE
WRITE_KIND: int = unicorn.UC_MEM_WRITE
"""What a data access hook is told of a write."""

_EVERYWHERE = (1, 0)  # unicorn's "all addresses": begin above end


@dataclass(frozen=True, slots=True)
class NativeHook:
    """A function by its host address, what calls it (CODE or ACCESS) and the word it gets as ``user``."""

    kind: int
    function: int
    state: int


@contextmanager
def native_hooks(cpu: Any, hooks: list[NativeHook]) -> Iterator[None]:
    """The *hooks* registered over all addresses while the block runs.  UcError where unicorn refuses one.

    The caller keeps the functions and all that ``state`` leads to alive.
    """
    handles: list[ctypes.c_size_t] = []
    try:
        for hook in hooks:
            handle = ctypes.c_size_t(0)
            user, function = ctypes.c_void_p(hook.state), ctypes.c_void_p(hook.function)
            _check(uclib.uc_hook_add(cpu._uch, ctypes.byref(handle), hook.kind, function, user, *_EVERYWHERE))
            handles.append(handle)
        yield
    finally:
        for handle in handles:
            _check(uclib.uc_hook_del(cpu._uch, handle))


def _check(status: int) -> None:
    if status != unicorn.UC_ERR_OK:
        raise unicorn.UcError(status)
