"""Mutants of a rewrite: a site that does nothing, while the layout says that it does.

The sequence's instructions become NOPs one by one, so that the run has the same instructions at the same numbers; a
branch over a trap (of the ``check`` policy) is always taken then.  What moves SP stays, for the unwind rows tell of it:
a word popped to the shadow stack is popped to where it came from.  The layout stays as it was.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from lab.arch.decode import Insn, Kind, decode
from lab.layout import Region, RewriteMap, Where
from lab.mutation.api import At, Executed, Mutated, no_such, sample
from lab.mutation.ground import Ground
from lab.mutation.patch import nop, patched

KIND = "rewrite"
_SEQUENCES = frozenset({Region.INSERTED, Region.TRAMPOLINE, Region.MOVED})
_POP_BACK = bytes.fromhex("8f0424")
"""pop qword ptr [rsp]: writes the word to where the pushed copy's original lies; ds prefixes (3e) make it longer."""
_KEPT = frozenset({Kind.CALL, Kind.RETURN, Kind.JUMP, Kind.INDIRECT, Kind.TRAP, Kind.UNDECODED, Kind.SYSCALL})


@dataclass(frozen=True)
class Site:
    """One push or pop: its instructions in order, without those the rewriter only carried."""

    function: str
    pushes: bool
    insns: tuple[Insn, ...]

    @property
    def start(self) -> int:
        return self.insns[0].address


def sequences(ground: Ground) -> tuple[Site, ...]:
    """Every sequence that was executed, by address; none without a rewrite."""
    return _sequences(ground)


@lru_cache(maxsize=2)
def _sequences(ground: Ground) -> tuple[Site, ...]:
    rewrite = ground.rewrite
    if rewrite is None:
        return ()
    carried = {(c.new, c.new + c.new_size) for c in rewrite.carried}
    found: list[Site] = []
    for piece in rewrite.inserted:
        if piece.region not in _SEQUENCES or not piece.function:
            continue
        run: list[Insn] = []
        code = ground.image.read(piece.start, piece.end - piece.start)
        for insn in decode(ground.arch, code, piece.start):
            if any(low <= insn.address < high for low, high in carried):
                found += _made(ground, rewrite, piece.function, run)
                run = []
            else:
                run.append(insn)
        found += _made(ground, rewrite, piece.function, run)
    return tuple(sorted(found, key=lambda sequence: sequence.start))


def _made(ground: Ground, rewrite: RewriteMap, function: str, run: list[Insn]) -> list[Site]:
    """The sequence in *run*, if it was executed and does anything."""
    if not run or run[0].address not in ground.executed or all(insn.kind in _KEPT for insn in run):
        return []
    begins, ends = (_where(rewrite, address) for address in (run[0].address, run[-1].end))
    inside = {_where(rewrite, insn.address) for insn in run}
    if begins in {Where.LR, Where.STACK} and Where.SHADOW in {ends, *inside}:
        return [Site(function, True, tuple(run))]
    return [Site(function, False, tuple(run))] if begins is Where.SHADOW else []


def _where(rewrite: RewriteMap, address: int) -> Where:
    return next((r.where for r in rewrite.layout.rows if r.start <= address < r.end), Where.UNKNOWN)


def undone(ground: Ground, sequence: Site) -> dict[int, bytes]:
    """The edits that make *sequence* do nothing but move SP, each instruction in its own bytes."""
    edits = {}
    for insn, after in zip(sequence.insns, (*sequence.insns[1:], None), strict=True):
        if insn.kind is Kind.BRANCH:
            over = after is not None and after.kind is Kind.TRAP
            edits[insn.address] = _always(insn) if over else nop(ground.arch, insn.size)
        elif ground.arch.sp in insn.writes:
            if insn.mnemonic == "pop" and "[" in insn.op_str and insn.size >= len(_POP_BACK):
                edits[insn.address] = b"\x3e" * (insn.size - len(_POP_BACK)) + _POP_BACK
        elif insn.kind not in _KEPT:
            edits[insn.address] = nop(ground.arch, insn.size)
    return edits


def _always(branch: Insn) -> bytes:
    """The conditional *branch* as one that is always taken, in as many bytes."""
    assert branch.target is not None
    if branch.size == 2:  # x86-64 jcc rel8 -> jmp rel8
        return b"\xeb" + branch.raw[1:]
    if branch.raw[:1] == b"\x0f":  # x86-64 jcc rel32 -> nop; jmp rel32
        return b"\x90\xe9" + branch.raw[2:]
    return (0x1400_0000 | (branch.target - branch.address) >> 2 & 0x03FF_FFFF).to_bytes(4, "little")


@dataclass(frozen=True)
class SiteOperator:
    """``pushes``: which sequences of a function are undone: True one push, False one pop, None all of both."""

    name: str
    bug: str
    pushes: bool | None

    def _of(self, ground: Ground, address: int) -> list[Site]:
        """The sequences that the mutant at *address* undoes."""
        every = sequences(ground)
        first = [s for s in every if s.start == address and self.pushes in (None, s.pushes)]
        if not first or self.pushes is not None:
            return first
        own = [s for s in every if s.function == first[0].function]
        return own if first[0].pushes and any(not s.pushes for s in own) and own[0].start <= address else []

    def candidates(self, ground: Ground) -> list[At]:
        """Every mutant of the image; for whole functions one each, named by its first push."""
        found: dict[object, At] = {}
        for sequence in sequences(ground):
            key = sequence.function if self.pushes is None else sequence.start
            if key not in found and self._of(ground, sequence.start):
                found[key] = (sequence.start,)
        return list(found.values())

    def draw(self, ground: Ground, chance: random.Random, count: int) -> Sequence[At]:
        """See ``Operator``."""
        return sample(self.candidates(ground), chance, count)

    def apply(self, ground: Ground, at: At) -> Mutated:
        """See ``Operator``."""
        chosen = self._of(ground, at[0]) if len(at) == 1 else []
        if not chosen:
            raise no_such(ground, at)
        edits = {address: data for sequence in chosen for address, data in undone(ground, sequence).items()}
        places = ", ".join(ground.image.locate(sequence.start) for sequence in chosen)
        ranges = tuple((address, address + len(data)) for address, data in sorted(edits.items()))
        what = f"{self.name}: the sequence at {places} does nothing"
        return Mutated(patched(ground.image, edits), Executed(ranges), chosen[0].function, what)


OPERATORS = (
    SiteOperator("entry-missed", "a rewriter that missed an entry whose exit it filled", True),
    SiteOperator("exit-missed", "a rewriter that missed one of several exits", False),
    SiteOperator("function-missed", "a function left uninstrumented that the layout counts", None),
)
