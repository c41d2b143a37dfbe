"""The instructions a run stopped at, as the store keeps them for those who read the run without the image."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lab.arch.decode import decode_one
from lab.images.image import Image
from lab.images.lines import source_lines
from lab.layout import RewriteMap


def instructions(image: Image, rewrite: RewriteMap | None, pcs: Iterable[int]) -> Iterator[dict[str, Any]]:
    """``pc``, ``raw``, ``text`` and ``source`` of a CodeRow for each of *pcs*, from the image's file.

    The line tables of a rewritten image speak of the original's addresses; inserted code has no source line.
    """
    lines, original = source_lines(image.path), original_place(rewrite)
    for pc in pcs:
        home = next((s for s in image.segments if s.address <= pc < s.end), None)
        code = image.read(pc, min(image.arch.max_insn, home.end - pc)) if home else b""
        insn = decode_one(image.arch, code, pc)
        at = original(pc)
        yield {"pc": pc, "raw": insn.raw.hex(), "text": insn.text, "source": "" if at is None else lines(at)}


def original_place(rewrite: RewriteMap | None) -> Callable[[int], int | None]:
    """Where the instruction at an address stood before the rewrite; None for inserted code."""
    if rewrite is None:
        return lambda pc: pc
    carried = sorted(rewrite.carried, key=lambda piece: piece.new)
    inserted = sorted((piece.start, piece.end) for piece in rewrite.inserted)
    news, starts = [piece.new for piece in carried], [start for start, _ in inserted]

    def at(pc: int) -> int | None:
        index = bisect.bisect_right(news, pc) - 1
        if index >= 0 and pc < news[index] + carried[index].new_size:
            piece = carried[index]
            return piece.old + (pc - piece.new if piece.old_size == piece.new_size else 0)
        index = bisect.bisect_right(starts, pc) - 1
        return None if index >= 0 and pc < inserted[index][1] else pc

    return at
