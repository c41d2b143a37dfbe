"""Is the rewritten image what the map says, and nothing else?  Static checks: nothing runs here.

Each check compares two images as loaded (segments, not file bytes: the writer may re-lay section tables) and
returns what it found wrong.  They know the map and the sequence templates, not the plan that made the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from lab.arch.decode import Insn, Kind, decode
from lab.errors import EngineError, InputError
from lab.images.flow import Code, decode_function
from lab.images.image import Image
from lab.images.rawelf import PF_X
from lab.layout import InsertedRange, Region, RewriteMap, Where
from rewriters.refusals import MARKER
from rewriters.sequences import sequence
from rewriters.sites import Action, Ranges

_SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """What every check looks at, decoded once: the image before, the image after, and the map between them."""

    old: Image
    new: Image
    map: RewriteMap

    @cached_property
    def old_code(self) -> dict[int, Code]:
        """Every function of the old image, by start."""
        return {function.start: decode_function(self.old, function) for function in self.old.functions}

    @cached_property
    def pieces(self) -> list[tuple[InsertedRange, list[Insn]]]:
        """Every inserted range, decoded from the new image."""
        arch, read = self.new.arch, self.new.read
        return [(p, list(decode(arch, read(p.start, p.end - p.start), p.start))) for p in self.map.inserted]


Check = Callable[[Pair], Iterator[str]]


def static_checks(old: Image, new: Image, rewrite_map: RewriteMap) -> dict[str, Any]:
    """Run every check on *new* against *old*: name -> {"ok", "problems" (how many), "first" (up to three)}."""
    results: dict[str, Any] = {}
    pair = Pair(old, new, rewrite_map)
    for name, check in CHECKS.items():
        try:
            problems = list(check(pair))
        except InputError as error:  # the map names addresses the image does not have
            problems = [str(error)]
        results[name] = {"ok": not problems, "problems": len(problems), "first": problems[:_SHOWN]}
    return results


def require(results: dict[str, Any], where: str) -> None:
    """EngineError naming *where* and the first failed check, if any failed."""
    for name, result in results.items():
        if not result["ok"]:
            raise EngineError(f"{where}: the rewrite failed its own check '{name}': {result['first'][0]}")


def _sources(pair: Pair) -> Iterator[str]:
    if pair.map.source_sha256 != pair.old.sha256:
        yield "the map was made for another source image"
    if pair.map.output_sha256 != pair.new.sha256:
        yield "the map was made for another output image"


def _planned(new: Image, rewrite_map: RewriteMap) -> Ranges:
    """Ranges that may differ: the ELF header with its program headers (where loaded), and what the map lists."""
    return Ranges([*new.header_ranges, *((piece.start, piece.end) for piece in rewrite_map.inserted)])


def _outside_plan(pair: Pair) -> Iterator[str]:
    old, new = pair.old, pair.new
    planned = _planned(new, pair.map)
    for segment in old.segments:
        before, after = old.read(segment.address, segment.size), new.read(segment.address, segment.size)
        if before == after:
            continue
        for offset in _differences(before, after):
            if segment.address + offset not in planned:
                yield f"byte at {old.locate(segment.address + offset)} changed outside the plan"


def _differences(before: bytes, after: bytes) -> Iterator[int]:
    """Offsets at which two equally long byte strings differ."""
    block = 256
    for start in range(0, len(before), block):
        if before[start : start + block] != after[start : start + block]:
            for offset in range(start, min(start + block, len(before))):
                if before[offset] != after[offset]:
                    yield offset


def _segments(pair: Pair) -> Iterator[str]:
    """Old segments keep address and permissions; the last writable one may grow; new ones are ours."""
    trampolines = [p for p in pair.map.inserted if p.region is Region.TRAMPOLINE]
    layout = pair.map.layout
    by_address = {segment.address: segment for segment in pair.new.segments}
    for segment in pair.old.segments:
        match = by_address.pop(segment.address, None)
        if match is None or match.flags != segment.flags or match.size < segment.size:
            yield f"segment at {segment.address:#x} is gone, smaller, or has other permissions"
        elif match.size > segment.size and not segment.address <= layout.base < layout.limit <= match.end:
            yield f"segment at {segment.address:#x} grew without holding the shadow stack"
    for segment in by_address.values():
        holds = segment.address <= layout.base < layout.limit <= segment.end
        if segment.flags & PF_X:
            ours = segment.data.startswith(MARKER) and any(
                segment.address <= p.start < segment.end for p in trampolines
            )
        else:
            ours = holds
        if not ours:
            yield f"new segment at {segment.address:#x} is neither our text nor our storage"


_FILLER = re.compile(r"(nop|int3|ret|(b|jmp) #?0x[0-9a-f]+)$")
_STUB = re.compile(
    r"(adrp x1[678], #\S+|add x1[68], x1[68], #\S+|str x16, \[x17(, #\S+)?\]|lea r10, \[rip.*\]|"
    r"mov qword ptr \[rip.*\], r10|(b|jmp) #?0x[0-9a-f]+)$"
)


def _new_text(pair: Pair) -> Iterator[str]:
    """Every inserted instruction decodes, and is one of the flavour's and policy's templates or a filler."""
    new = pair.new
    allowed = _template_patterns(new, pair.map)
    for piece, insns in pair.pieces:
        for insn in insns:
            if insn.kind is Kind.UNDECODED:
                yield f"undecodable bytes at {new.locate(insn.address)}"
            elif piece.function == "":
                if not _STUB.match(insn.text):
                    yield f"'{insn.text}' at {insn.address:#x} does not belong in an entry stub"
            elif not _FILLER.match(insn.text) and not any(p.match(insn.text) for p in allowed):
                yield f"'{insn.text}' at {new.locate(insn.address)} is in no template of this flavour and policy"


def _template_patterns(new: Image, rewrite_map: RewriteMap) -> list[re.Pattern[str]]:
    layout = rewrite_map.layout
    patterns = []
    for action in Action:
        for line in sequence(new.arch, layout.name, action, layout.policy).lines:
            text = _PC_RELATIVE.get(line.text.split()[0])
            if text is None:
                text = re.escape(line.text)
                text = re.sub(r"\\\{s\d\\\}", "(x(9|1[0-7])|r1[01])", text)
                text = text.replace(r"\{lo\}", r"(, \#\w+)?").replace(r"\{lr\}", r"x\d+").replace(r"\#", "#")
            patterns.append(re.compile(text + "$"))
    return patterns


_PC_RELATIVE = {
    "@adrp": r"adrp x(9|1[0-7]), #0x[0-9a-f]+",
    "@cbz": r"cbz x(9|1[0-7]), #0x[0-9a-f]+",
    "@je": r"je 0x[0-9a-f]+",
    "@load": r"mov r1[01], qword ptr \[rip [+-] \w+\]",
    "@add": r"add qword ptr \[rip [+-] \w+\], 8",
    "@sub": r"sub qword ptr \[rip [+-] \w+\], 8",
}


def _branches(pair: Pair) -> Iterator[str]:
    """Branches of inserted code land on an instruction: of ours, or of the old image at a boundary."""
    old = pair.old
    ours = {insn.address for _, insns in pair.pieces for insn in insns}
    for _, insns in pair.pieces:
        for insn in insns:
            if insn.target is None or insn.target in ours:
                continue
            function = old.function_at(insn.target)
            if function is None and insn.target != old.entry:
                yield f"'{insn.text}' at {insn.address:#x} leads outside every function"
            elif function is not None and insn.target not in pair.old_code[function.start].index:
                yield f"'{insn.text}' at {insn.address:#x} lands inside an instruction of {old.locate(insn.target)}"


def _into_the_middle(pair: Pair) -> Iterator[str]:
    """No old code branches into the middle of what was overwritten."""
    spans = [(p.start, p.end) for p in pair.map.inserted if p.region is Region.INSERTED]
    overwritten = Ranges(spans)
    inside = Ranges((start + 1, end) for start, end in spans)
    for code in pair.old_code.values():
        for insn in code.insns:
            if insn.target is not None and insn.target in inside and insn.address not in overwritten:
                yield f"'{insn.text}' at {pair.old.locate(insn.address)} leads into an overwritten sled"


def _entry(pair: Pair) -> Iterator[str]:
    """The entry is the old one, or our stub, which ends in a jump to the old one."""
    old, new = pair.old, pair.new
    stub, insns = next(((p, insns) for p, insns in pair.pieces if p.function == ""), (None, []))
    if stub is None:
        if new.entry != old.entry:
            yield f"the entry moved to {new.entry:#x} without a stub"
        return
    last = insns[-1]
    if new.entry != stub.start:
        yield f"the entry {new.entry:#x} is not the stub at {stub.start:#x}"
    if last.kind is not Kind.JUMP or last.target != old.entry:
        yield f"the stub ends in '{last.text}', not in a jump to {old.entry:#x}"


def _rows(pair: Pair) -> Iterator[str]:
    """The layout's rows are in order, disjoint, and cover all executable code."""
    rows = pair.map.layout.rows
    for left, right in pairwise(rows):
        if left.end > right.start or left.start >= left.end:
            yield f"layout rows overlap or are empty at {right.start:#x}"
    for row in rows:
        if (row.where is Where.UNKNOWN) != bool(row.reason):
            yield f"layout row at {row.start:#x}: a reason belongs to 'unknown' and only there"
    covered = Ranges((row.start, row.end) for row in rows)
    wanted = [(s.address, s.address + s.size) for s in pair.old.sections if s.executable and s.size]
    wanted += [(p.start, p.end) for p in pair.map.inserted]
    for start, end in wanted:
        if not covered.covers(start, end):
            yield f"layout rows do not cover {start:#x}..{end:#x}"


CHECKS: dict[str, Check] = {
    "map belongs to these images": _sources,
    "bytes outside the plan unchanged": _outside_plan,
    "segments kept": _segments,
    "new text is the templates": _new_text,
    "branches land on instructions": _branches,
    "nothing branches into a filled sled": _into_the_middle,
    "entry reaches the old entry": _entry,
    "layout rows cover the code": _rows,
}
