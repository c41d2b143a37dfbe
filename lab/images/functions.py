"""The functions of an image: by symbols, and by .eh_frame where no symbol tells."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import lief

from lab.images.fdes import Fde

PLT_SECTIONS = frozenset({".plt", ".plt.got", ".plt.sec", ".iplt"})
"""Sections of stubs that linkers make: their FDEs describe no function."""

_EXECINSTR = lief.ELF.Section.FLAGS.EXECINSTR


@dataclass(frozen=True, slots=True)
class Function:
    """[start, start + size); ``names`` holds all symbols of it, sorted, or ``sub_<hex start>`` where it has none.

    ``symbol``: a FUNC symbol says so; otherwise a frame description, which may be of a part of a function only or of
    more than one, or a FUNC symbol without a size."""

    start: int
    size: int
    names: tuple[str, ...]
    symbol: bool = True

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def name(self) -> str:
        return self.names[0]


@dataclass(frozen=True, slots=True)
class Symbols:
    """What the symbol table says: sized FUNC symbols by start, every other name, ``$d`` islands in code, and the starts
    of FUNC symbols without a size (assembly that says .type and no .size, as musl's)."""

    functions: tuple[Function, ...]
    addresses: dict[str, int]
    islands: tuple[tuple[int, int], ...]
    sizeless: frozenset[int] = frozenset()


def read_symbols(binary: Any) -> Symbols:
    """The symbols of lief's *binary*."""
    kinds = lief.ELF.Symbol.TYPE
    sized: dict[int, tuple[int, set[str]]] = {}
    addresses: dict[str, int] = {}
    marks: list[tuple[int, str]] = []
    sizeless: set[int] = set()
    for symbol in binary.symtab_symbols:
        name = str(symbol.name)
        if not name or symbol.shndx == 0:
            continue
        if name[:2] in {"$d", "$x"} and name[2:3] in {"", "."}:
            marks.append((symbol.value, name[1]))
            continue
        addresses.setdefault(name, symbol.value)
        if symbol.type == kinds.FUNC and not symbol.size:
            sizeless.add(symbol.value)
        if symbol.type in {kinds.FUNC, kinds.GNU_IFUNC} and symbol.size:
            size, names = sized.setdefault(symbol.value, (0, set()))
            names.add(name)
            sized[symbol.value] = (max(size, symbol.size), names)
    functions = tuple(Function(start, size, tuple(sorted(names))) for start, (size, names) in sorted(sized.items()))
    code = [(s.virtual_address, s.virtual_address + s.size) for s in binary.sections if s.has(_EXECINSTR)]
    return Symbols(functions, addresses, _islands(sorted(marks), code), frozenset(sizeless))


def _islands(marks: list[tuple[int, str]], code: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """[start, end) of ``$d`` ranges inside executable sections; the next mark or the section's end closes one."""
    found = []
    for index, (start, kind) in enumerate(marks):
        home = next((end for low, end in code if low <= start < end), None)
        if kind == "d" and home is not None:
            found.append((start, min(marks[index + 1][0], home) if index + 1 < len(marks) else home))
    return tuple(found)


def with_frames(
    symbols: Symbols, fdes: Iterable[Fde], code: Sequence[tuple[int, int]], stubs: Sequence[tuple[int, int]]
) -> tuple[Function, ...]:
    """The functions of *symbols* and, where none of them has a byte, those of *fdes*, by start.

    No functions are: signal-return trampolines, empty ranges, what does not lie in one range of *code* (a linker
    leaves FDEs of discarded functions at address 0) and what begins in one of *stubs*.  A function takes the
    names of symbols without a size at its start (assembly); a FUNC symbol without a size, where nothing else tells,
    reaches to whatever comes next: a symbol, a function, a data island or the end of its range of code."""
    known = symbols.functions
    starts, reach = [f.start for f in known], list(accumulate((f.end for f in known), max))
    sizes: dict[int, int] = {}
    returns: list[tuple[int, int]] = []  # from signals
    for fde in fdes:
        end = fde.start + fde.size
        before = bisect.bisect_left(starts, end)  # functions that start below its end
        if fde.signal:
            returns.append((fde.start, end))
        if fde.signal or not fde.size or (before and reach[before - 1] > fde.start):
            continue
        if _holds(code, fde.start, end) and not _holds(stubs, fde.start, fde.start + 1):
            sizes[fde.start] = max(fde.size, sizes.get(fde.start, 0))
    names: dict[int, list[str]] = {}
    for name, address in symbols.addresses.items():
        if address in sizes:
            names.setdefault(address, []).append(name)
    found = [Function(at, size, tuple(sorted(names.get(at, [f"sub_{at:x}"]))), False) for at, size in sizes.items()]
    return _with_sizeless(symbols, tuple(sorted((*known, *found), key=lambda f: f.start)), code, [*stubs, *returns])


def _with_sizeless(
    symbols: Symbols, found: tuple[Function, ...], code: Sequence[tuple[int, int]], others: list[tuple[int, int]]
) -> tuple[Function, ...]:
    starts, reach = [f.start for f in found], list(accumulate((f.end for f in found), max))
    apart = {edge for other in others for edge in other} | {start for start, _ in symbols.islands}
    edges = sorted({*symbols.addresses.values(), *starts, *apart})
    more = []
    for start in symbols.sizeless:
        before = bisect.bisect_right(starts, start)
        home = next((end for low, end in code if low <= start < end), None)
        if home is None or (before and reach[before - 1] > start) or _holds(others, start, start + 1):
            continue
        following = bisect.bisect_right(edges, start)
        end = min(home, edges[following]) if following < len(edges) else home
        names = sorted(name for name, address in symbols.addresses.items() if address == start)
        more.append(Function(start, end - start, tuple(names), symbol=False))
    return tuple(sorted((*found, *more), key=lambda f: f.start))


def _holds(ranges: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    return any(low <= start and end <= high for low, high in ranges)
