"""The search: pieces of the program are left out, from large to small, as long as the stop is still there.

Delta debugging (Zeller and Hildebrandt 2002) on a tree of pieces, the outermost first (Misherghi and Su 2006).
Candidates are built side by side and tried in a fixed order, the first that will do is taken: what comes out does not
depend on the number of processors, unless the time ran out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from lab.errors import LabError
from lab.machine.outcome import End
from lab.shrink import pieces
from lab.shrink.hunt import Found, Hunt, Hunter
from lab.shrink.pieces import Piece
from lab.shrink.program import Program
from lab.workers import cores

LEAST_INSTRUCTIONS: Final = 20_000
"""Candidates may run this long at least, and twice as long as the program they come from."""
LEAST_LOOKS: Final = 500
"""Stops in the function in question that are looked at in a candidate, at least, and twice as many as in the program
it comes from."""


@dataclass
class Search:
    """State of one search.  ``deadline``: of time.monotonic; ``tried``: candidates built; ``expired``: time ran out."""

    hunt: Hunt
    deadline: float
    progress: Callable[[int, int, str], None]
    tried: int = 0
    kept: int = 0
    _strict: bool = False
    _seen: set[Program] = field(default_factory=set)

    @property
    def expired(self) -> bool:
        """Whether no more candidates are tried."""
        return time.monotonic() >= self.deadline

    def shrunk(self, program: Program) -> Program:
        """*program* made as small as it gets: whole pieces first, and words only where no piece can go any more."""
        program = self._until_stable(program, self._settings, self._pieces)
        program = self._until_stable(program, self._pieces, self._numbers)
        return self._until_stable(program, self._settings, self._pieces, self._numbers, self._words)

    def _until_stable(self, program: Program, *passes: Callable[[Program], Program]) -> Program:
        before = None
        while before != program and not self.expired:
            before = program
            for each in passes:
                program = each(program)
        return program

    def begin(self, program: Program) -> Program | None:
        """*program*, if it shows the stop.  Those that come from it are then given up after twice what it took."""
        found = self.still(program)
        if found is None:
            return None
        self._strict = program.sound()
        most = replace(self.hunt.limits, instructions=max(2 * found.ended, LEAST_INSTRUCTIONS), seconds=60.0)
        self.hunt = replace(self.hunt, limits=most, looks=max(2 * found.looks, LEAST_LOOKS))
        return program

    def still(self, program: Program) -> Found | None:
        """The stop in *program*, None where it is not there or the program does not build, run and exit well."""
        target = self.hunt.target
        try:
            image, rewrite = program.image(self.hunt.limits)
            if target is not None and not any(target.function in function.names for function in image.functions):
                return None
            found, outcome = Hunter(image, rewrite, replace(self.hunt, injection=program.injection)).seek()
        except LabError:
            return None
        good = outcome.end is End.EXIT and outcome.status == 0
        return found if good else None

    def first(self, candidates: Iterable[Program]) -> tuple[int, Program] | None:
        """(number, program) of the first of *candidates* that still shows the stop."""
        several = iter(candidates)
        number = 0
        with ThreadPoolExecutor(cores()) as pool:
            while not self.expired and (batch := list(islice(several, cores()))):
                fresh = [(number + i, p) for i, p in enumerate(batch) if p not in self._seen]
                number += len(batch)
                self._seen.update(p for _, p in fresh)
                built = pool.map(partial(_builds, strict=self._strict), [p for _, p in fresh])
                for (index, program), good in zip(fresh, list(built), strict=True):
                    self.tried += 1
                    if good and self.still(program):
                        self.kept += 1
                        self.progress(self.kept, self.tried, f"{len(program.source.splitlines())} lines left")
                        return index, program
        return None

    # -- what is left out ---------------------------------------------------------------------------------

    def _settings(self, program: Program) -> Program:
        """Fewer flags and library sources, the plain runtime, no floating point."""
        while (done := self.first(_simpler(program))) is not None:
            program = done[1]
        return program

    def _pieces(self, program: Program) -> Program:
        program, tree = self._left_out(program, _tree(program))
        return self._each(program, tree, _unwrappings)

    def _numbers(self, program: Program) -> Program:
        return self._each(program, _tree(program), _smaller_numbers)

    def _words(self, program: Program) -> Program:
        return self._each(program, _tree(program), _fewer_words)

    def _left_out(self, program: Program, tree: Piece) -> tuple[Program, Piece]:
        todo: list[pieces.Path] = [()]
        while todo and not self.expired:
            path = todo.pop(0)
            program, tree = self._thinned(program, tree, path)
            todo += [(*path, i) for i, piece in enumerate(pieces.at(tree, path)) if piece.body]
        return program, tree

    def _thinned(self, program: Program, tree: Piece, path: pieces.Path) -> tuple[Program, Piece]:
        """The block at *path* without what is not needed: halves, then quarters, then single pieces."""
        size = len(pieces.at(tree, path))
        while size and not self.expired:
            start = 0
            while start < len(body := pieces.at(tree, path)):
                starts = range(start, len(body), size)
                done = self.first(_with(program, pieces.without(tree, path, s, s + size)) for s in starts)
                if done is None:
                    break
                start = starts[done[0]]
                tree = pieces.without(tree, path, start, start + size)
                program = done[1]
            size = 0 if size == 1 else (size + 1) // 2
        return program, tree

    def _each(self, program: Program, tree: Piece, changes: Callable[[Piece], Iterator[Piece]]) -> Program:
        """One change after the other: after one that will do, on with those that follow it."""
        at = 0
        while not self.expired:
            trees = list(changes(tree))[at:]
            done = self.first(_with(program, each) for each in trees)
            if done is None:
                break
            program, tree, at = done[1], trees[done[0]], at + done[0]
        return program


def _tree(program: Program) -> Piece:
    return pieces.parse(program.source, assembly=program.suffix != ".c")


def _with(program: Program, tree: Piece) -> Program:
    return replace(program, source=pieces.render(tree))


def _unwrappings(tree: Piece) -> Iterator[Piece]:
    """Each block inside a function in place of the statement it belongs to."""
    for path in pieces.blocks(tree):
        if len(path) > 1:
            yield pieces.unwrapped(tree, path)


def _smaller_numbers(tree: Piece) -> Iterator[Piece]:
    """Each number smaller."""
    yield from _rewritten(tree, pieces.smaller_numbers)


def _fewer_words(tree: Piece) -> Iterator[Piece]:
    """Fewer words in each statement."""
    yield from _rewritten(tree, pieces.fewer_words)


def _rewritten(tree: Piece, change: Callable[[str], Iterator[str]]) -> Iterator[Piece]:
    """Each statement, and what stands before a block, changed."""
    for path in pieces.blocks(tree):
        body = pieces.at(tree, path)
        for index, piece in enumerate(body):
            for head in change(piece.head):
                yield pieces.put(tree, path, (*body[:index], replace(piece, head=head), *body[index + 1 :]))


def _simpler(program: Program) -> Iterator[Program]:
    if program.runtime != "plain":
        yield replace(program, runtime="plain", interrupts=())
    if program.size != "small":
        yield replace(program, size="small")
    if program.musl:
        yield replace(program, musl=())
    if program.floating:
        yield replace(program, floating=False)
    for name in ("flags", "musl"):
        values = getattr(program, name)
        for index in range(len(values)):
            yield replace(program, **{name: values[:index] + values[index + 1 :]})


def _builds(program: Program, *, strict: bool) -> bool:
    try:
        return Path(program.built()).is_file() and (not strict or program.sound())
    except LabError:
        return False
