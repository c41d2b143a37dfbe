"""The system calls there are: each a function of the kernel and its decoded arguments, entered here by decoration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., int])

KINDS = frozenset({"int", "flags", "long", "size", "path", "at"})
"""Of arguments.  ``int``: signed 32 bits (a descriptor, a pid); ``flags``: unsigned 32 bits, in hexadecimal;
``long`` and ``size``: 64 bits, signed and not; ``path``: the address of a path, which the function gets as its bytes;
``at``: an address."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call: the kinds of its arguments, and the function (kernel, *arguments) -> result that does it."""

    kinds: tuple[str, ...]
    function: Callable[..., int]


CALLS: dict[str, Entry] = {}
"""Name (``lab.machine.linux.numbers``) -> how it is done."""


def syscall(kinds: str = "", *names: str) -> Callable[[F], F]:
    """Enter a function as the call of its own name, or of *names*; *kinds* are those of its arguments, in a line."""

    def enter(function: F) -> F:
        entry = Entry(tuple(kinds.split()), function)
        for name in names or (function.__name__,):
            CALLS[name] = entry
        return function

    return enter
