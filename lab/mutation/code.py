"""Mutants of code: some bytes of the image replaced in place, so that every instruction keeps its number in the run.

What stands for a bug of a compiler or of hand-written assembly: the program computes what it did, and only the stack's
bookkeeping is other than the unwind information and the frame records' readers take for granted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.arch.decode import Insn, Kind
from lab.errors import InputError
from lab.mutation.api import At, Executed, Mutated, no_such, sample
from lab.mutation.encodings import ENCODINGS, grown, is_frame_setup
from lab.mutation.ground import Ground
from lab.mutation.patch import nop, patched

KIND = "code"
GROWTH = 16
"""Bytes that a grown frame has more: SP stays aligned."""


def _setups(ground: Ground) -> list[Insn]:
    """The executed instructions that make FP point at the frame record."""
    return [insn for insns in ground.functions.values() for insn in insns if is_frame_setup(ground.arch, insn)]


def lost(ground: Ground) -> dict[At, dict[int, bytes]]:
    """FP is not set up."""
    return {(insn.address,): {insn.address: nop(ground.arch, insn.size)} for insn in _setups(ground)}


def clobbered(ground: Ground) -> dict[At, dict[int, bytes]]:
    """FP is set to 0, or to an argument, instead."""
    values = ENCODINGS[ground.arch.name].clobbers
    return {
        (insn.address, number): {insn.address: value}
        for insn in _setups(ground)
        for number, value in enumerate(values)
        if len(value) == insn.size
    }


def taller(ground: Ground) -> dict[At, dict[int, bytes]]:
    """The frame has GROWTH bytes more, at its entry and at every exit."""
    found: dict[At, dict[int, bytes]] = {}
    for insns in ground.functions.values():
        moves = [(insn, grown(ground.arch, insn, GROWTH)) for insn in _whole(ground, insns)]
        edits = [(insn, made) for insn, made in moves if made is not None]
        kinds = {made.key for _, made in edits}
        opened = [made for _, made in edits if made.opens]
        if len(kinds) == 1 and len(opened) == 1 and len(edits) > 1:  # one allocation, and each release is its own
            found[edits[0][0].address,] = {insn.address: made.raw for insn, made in edits}
    return found


def _whole(ground: Ground, insns: tuple[Insn, ...]) -> Sequence[Insn]:
    """All instructions of the function of *insns*, executed or not: an exit that is not taken must fit too."""
    from lab.arch.decode import decode

    function = ground.image.function_at(insns[0].address)
    if function is None:
        return ()
    return list(decode(ground.arch, ground.image.read(function.start, function.end - function.start), function.start))


def swaps(ground: Ground) -> dict[At, dict[int, bytes]]:
    """Two neighbours that do not depend on each other, one of which moves or saves SP, FP or LR, change places."""
    landed = _landings(ground)
    found: dict[At, dict[int, bytes]] = {}
    for insns in ground.functions.values():
        for first, second in zip(insns, insns[1:], strict=False):
            apart = first.end != second.address or second.address in landed
            if not apart and independent(first, second) and _of_the_frame(ground, first, second):
                found[first.address,] = {first.address: second.raw + first.raw}
    return found


def _landings(ground: Ground) -> frozenset[int]:
    """Instructions that were reached otherwise than from the one before them."""
    sizes = {insn.address: insn.size for insn in ground.instructions}
    pcs = ground.trace.pcs
    jumped = {after for before, after in zip(pcs, pcs[1:], strict=False) if before + sizes[before] != after}
    targets = {insn.target for insn in ground.instructions if insn.target is not None}
    return frozenset(jumped | targets)


def independent(first: Insn, second: Insn) -> bool:
    """Whether the two may change places: neither uses what the other writes, at most one touches memory, neither is
    relative to its own address or moves control."""
    if any(i.kind is not Kind.OTHER or "rip" in i.op_str or i.mnemonic in {"adr", "adrp"} for i in (first, second)):
        return False
    if first.writes & (second.reads | second.writes) or second.writes & first.reads:
        return False
    return not (_touches(first) and _touches(second))


def _touches(insn: Insn) -> bool:
    return "[" in insn.op_str or insn.mnemonic in {"push", "pop", "leave", "enter"}


def _of_the_frame(ground: Ground, *pair: Insn) -> bool:
    arch = ground.arch
    frame = {arch.sp, arch.fp} | ({arch.lr} if arch.lr else set())
    saved = frame - {arch.sp}
    return any(
        i.writes & frame or (_touches(i) and i.mnemonic.startswith(("st", "push")) and i.reads & saved) for i in pair
    )


@dataclass(frozen=True)
class CodeOperator:
    """``edits``: every mutant of an image and the bytes it puts where."""

    name: str
    bug: str
    edits: Callable[[Ground], dict[At, dict[int, bytes]]]

    def draw(self, ground: Ground, chance: random.Random, count: int) -> Sequence[At]:
        """See ``Operator``."""
        return sample(sorted(self.edits(ground)), chance, count)

    def apply(self, ground: Ground, at: At) -> Mutated:
        """See ``Operator``."""
        edits = self.edits(ground).get(at)
        if edits is None:
            raise no_such(ground, at)
        ranges = tuple((address, address + len(data)) for address, data in sorted(edits.items()))
        try:
            image = patched(ground.image, edits)
        except InputError:
            raise no_such(ground, at) from None
        what = f"{self.name} at {ground.image.locate(at[0])}: {_texts(ground, image_bytes(edits))}"
        return Mutated(image, Executed(ranges), ground.function(at[0]), what)


def image_bytes(edits: dict[int, bytes]) -> tuple[tuple[int, bytes], ...]:
    """The edits in the order of their addresses."""
    return tuple(sorted(edits.items()))


def _texts(ground: Ground, edits: tuple[tuple[int, bytes], ...]) -> str:
    """What stands at each place, and what stood there."""
    from lab.arch.decode import disassemble

    def text(data: bytes, at: int) -> str:
        return "; ".join(line for _, _, line in disassemble(ground.arch, data, at))

    said = [f"'{text(ground.image.read(at, len(new)), at)}' is '{text(new, at)}'" for at, new in edits]
    return ", ".join(said[:2]) + (f" and {len(said) - 2} more" if len(said) > 2 else "")


OPERATORS = (
    CodeOperator("fp-lost", "a prologue that does not set up FP", lost),
    CodeOperator("fp-clobbered", "FP used as a general register by compiler or assembly", clobbered),
    CodeOperator("frame-grown", "a frame size changed in code only; an extra push", taller),
    CodeOperator("swapped", "a scheduler that moves code across its unwind row", swaps),
)
