"""What the hook knows of code: by place (where an instruction may begin) and by span (bytes that share facts)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lab.arch import Arch
from lab.covers import Coverage
from lab.engine.native.cells import GROUP_BITS, KNOWN, PLACE_WORDS, SPAN_WORDS, WATCHED, Place, Span
from lab.engine.native.classify import classify
from lab.errors import LabError
from lab.features import Features
from lab.images.image import Image
from lab.machine.machine import Machine
from lab.unwind.api import MASK64, UNKNOWN
from lab.unwind.code_view import TABLES
from lab.unwind.reader import Reader

MOST_BYTES = 16 << 20
"""Code may lie this far apart; beyond it the tables would be mostly holes."""

Words = npt.NDArray[np.uint64]


class TooWideError(LabError):
    """The image's code lies too far apart for tables."""


@dataclass(frozen=True)
class Span8:
    """The tables over [low, low + size).  ``spans`` holds 32 bits for each byte: the number of a row of ``facts``."""

    low: int
    size: int
    spans: npt.NDArray[np.uint32]
    facts: Words
    functions: int


def check_width(image: Image, size: int) -> None:
    """TooWideError where code spans more than MOST_BYTES."""
    if size > MOST_BYTES:
        raise TooWideError(f"{image.path}: its code spans {size >> 20} MiB, more than {MOST_BYTES >> 20}")


def build_spans(machine: Machine, coverage: Coverage, features: Features, reader: Reader) -> Span8:
    """The spans of one image.  Functions are numbered from 1 in the order in which they are met."""
    image = machine.image
    ranges = [(m.start, m.end) for m in machine.mappings if m.executable]
    ranges += [(f.start, f.end) for f in image.functions]
    low = min(start for start, _ in ranges) & ~0xFFF
    high = max(end for _, end in ranges) + 16
    check_width(image, high - low)
    ranges += reader.code.text
    ranges += [(row.start, row.end) for table in reader.code.tables.values() for row in table.rows]
    ranges += [(row.start, row.end) for row in features.cfi.rows]
    ranges += [(row.start, row.end) for row in reader.layout_rows]
    ranges += [(piece.start, piece.end) for piece in coverage.pieces]
    edges = sorted({low, *(edge for pair in ranges for edge in pair if low <= edge < high)})
    numbers: dict[int, int] = {}
    groups: dict[tuple[int, ...], int] = {}
    facts = np.zeros((len(edges) + 1, SPAN_WORDS), np.uint64)
    facts[0, Span.WHERE] = UNKNOWN

    def number(start: int | None) -> int:
        return 0 if start is None else numbers.setdefault(start, len(numbers) + 1)

    for index, edge in enumerate(edges, start=1):
        where, offset = reader.row(edge)
        row = features.cfi.at(edge)
        based_on_fp = row is not None and row.kind == "fp"
        facts[index, Span.NAMED] = number(coverage.by_symbol(edge))
        facts[index, Span.RUNNING] = number(coverage.running(edge))
        facts[index, Span.BODY] = coverage.body(edge) or 0
        facts[index, Span.WHERE] = where
        facts[index, Span.WHERE_OFFSET] = offset & MASK64
        facts[index, Span.CFI_FP] = based_on_fp
        facts[index, Span.CFI_OFFSET] = row.offset & MASK64 if row is not None and based_on_fp else 0
        named, running, _, where, offset = facts[index, : Span.WHERE_OFFSET + 1].tolist()
        based, base_offset = facts[index, Span.CFI_FP : Span.CFI_OFFSET + 1].tolist()
        rules = [reader.rule(table, edge) for table in range(TABLES)]
        facts[index, Span.RULES : Span.RULES + TABLES] = rules
        parts = ((0, where, offset, *rules), (1, based, base_offset), (2, named, running))
        group = [groups.setdefault(part, len(groups) + 1) for part in parts]
        facts[index, Span.GROUP] = sum(number << (GROUP_BITS * at) for at, number in enumerate(group))
    if len(groups) >= 1 << GROUP_BITS:
        raise TooWideError(f"{image.path}: {len(groups)} different spans of code, more than {1 << GROUP_BITS}")
    lengths = np.diff(np.array([*edges, high], np.uint64)).astype(np.int64)
    spans = np.repeat(np.arange(1, len(edges) + 1, dtype=np.uint32), lengths)
    return Span8(low, high - low, spans, facts, len(numbers))


class Places:
    """What is known of each place, filled in as its instruction is first about to execute."""

    def __init__(self, arch: Arch, spans: Span8) -> None:
        self.arch, self.low = arch, spans.low
        self.shift = arch.insn_align.bit_length() - 1
        self.count = (spans.size >> self.shift) + 1
        self.records = np.zeros((self.count, PLACE_WORDS), np.uint64)
        self._spans = spans.spans

    def decode(self, code: bytes, pc: int) -> None:
        """The instruction at *pc*, from its bytes as they are now."""
        found = classify(self.arch, code, pc)
        place = (pc - self.low) >> self.shift
        span = int(self._spans[pc - self.low])
        self.records[place, Place.CODE] = KNOWN | found.flags | found.size << 8 | span << 32
        self.records[place, Place.ROW] = found.row

    def code(self, pc: int) -> int:
        """What is known of the instruction at *pc*: Place.CODE."""
        return int(self.records[(pc - self.low) >> self.shift, Place.CODE])

    def watch(self, pc: int) -> int:
        """Have Python asked for a stop of its own at *pc*, which has been decoded; its code with that."""
        self.records[(pc - self.low) >> self.shift, Place.CODE] |= np.uint64(WATCHED)
        return self.code(pc)

    def forget(self, start: int, end: int) -> None:
        """[start, end) may have changed; an instruction that begins before it may reach into it."""
        first = max(0, start - self.arch.max_insn + 1 - self.low) >> self.shift
        last = max(0, end - self.low + (1 << self.shift) - 1) >> self.shift
        self.records[first:last, Place.CODE] = 0

    def pc(self, place: int) -> int:
        """The address of a place."""
        return self.low + (place << self.shift)
