"""``covers``: does a trace name every live function, mapped as live patching maps addresses?

Live patching checks each address of the trace, the pc included, against [start, start + size) of the
functions to be patched: the address itself, not ra - 1.  A call that never returns and is the last
instruction of its function has its return address in the next function, so ``covers`` fails there although
the trace is exact.  What is truly live is the function that made the call: the one that holds ra - 1.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from lab.fragments import parents
from lab.images.image import Image
from lab.layout import InsertedRange, RewriteMap

FunctionSet = frozenset[int]


class Coverage:
    """Maps addresses of one image to functions (identified by their start), with caches."""

    def __init__(self, image: Image, rewrite: RewriteMap | None) -> None:
        self._image = image
        self.pieces = sorted(rewrite.inserted, key=lambda piece: piece.start) if rewrite else []
        self._edges = [piece.start for piece in self.pieces]
        self._starts = {name: f.start for f in image.functions for name in f.names}
        self._parents = parents(image) | {
            f.start: self._starts[f.name.removesuffix(".cold")]
            for f in image.functions
            if f.name.endswith(".cold") and f.name.removesuffix(".cold") in self._starts
        }
        self._by_address: dict[int, int | None] = {}
        self._owners: dict[int, int | None] = {}
        self._known = any(f.symbol for f in image.functions)
        self._callers: dict[tuple[int, ...], FunctionSet] = {}
        self._named: dict[tuple[int, ...], FunctionSet] = {}

    def by_symbol(self, address: int) -> int | None:
        """What live patching would say: by symbol range alone."""
        if address not in self._by_address:
            function = self._image.function_at(address)
            self._by_address[address] = function.start if function and function.symbol else None
        return self._by_address[address]

    def running(self, address: int) -> int | None:
        """Whose code is really running: out-of-line code belongs to the function whose site it serves."""
        if address not in self._owners:
            piece = self._piece(address)
            owner = self._starts.get(piece.function) if piece else None
            function = self._image.function_at(address)
            self._owners[address] = function.start if owner is None and function else owner
        return self._owners[address]

    def _piece(self, address: int) -> InsertedRange | None:
        index = bisect.bisect_right(self._edges, address) - 1
        found = self.pieces[index] if index >= 0 else None
        return found if found is not None and address < found.end else None

    def body(self, address: int) -> int | None:
        """Like the function that is running at *address*, with a compiler's ``f.cold`` counted to ``f``, and parts
        that have no symbols to the first they share code with."""
        owner = self.running(address)
        return owner if owner is None else self._parents.get(owner, owner)

    @property
    def known(self) -> bool:
        """Whether there are symbols to map addresses to functions; without them nothing can be said to be covered."""
        return self._known

    def live(
        self, pc: int, truth: tuple[int, ...], *, after_call: bool, inside: tuple[int, ...] | None = None
    ) -> FunctionSet:
        """The functions that are live at a stop.  After a call the pc is a return address: ra - 1 is inside.
        *inside*: where exceptions are on the trace, an address inside for each one of it."""
        if inside is None:
            inside = tuple(ra - 1 for ra in truth)
        callers = self._callers.get(inside)
        if callers is None:
            owners = map(self.running, inside)
            callers = self._callers[inside] = frozenset(owner for owner in owners if owner is not None)
        own = self.running(pc - 1 if after_call else pc)
        return callers | {own} if own is not None else callers

    def named(self, pc: int, reported: Sequence[int]) -> FunctionSet:
        """The functions that live patching would find in the trace *reported*, the pc included."""
        key = tuple(reported)
        found = self._named.get(key)
        if found is None:
            names = (self.by_symbol(address) for address in key)
            found = self._named[key] = frozenset(name for name in names if name is not None)
        own = self.by_symbol(pc)
        return found | {own} if own is not None else found
