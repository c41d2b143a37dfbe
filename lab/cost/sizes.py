"""Sizes of one image: code, unwind metadata section by section, what each format would take, file and memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lab.errors import InputError
from lab.images.image import Function, Image
from lab.layout import Region, RewriteMap
from lab.metadata.survey import survey

GROUPS = {
    ".eh_frame": "eh_frame", ".eh_frame_hdr": "eh_frame", ".gcc_except_table": "lsda",
    ".orc_unwind": "orc", ".orc_unwind_ip": "orc", ".orc_header": "orc", ".sframe": "sframe",
    "xray_instr_map": "sled records", "xray_fn_idx": "sled records",
    "__patchable_function_entries": "sled records",
}  # fmt: skip
"""Section -> the group its bytes are counted in."""
ALSO_CODE = frozenset({Region.TRAMPOLINE, Region.MOVED})
DEAD = "(dead)"
STUB = "(entry stub)"


@dataclass(frozen=True)
class Sizes:
    """Bytes.  ``sections``: metadata the image has, by group; ``formats``: what each format takes for the image's
    unwind table, its own or converted from .eh_frame; ``loaded``: of its segments in memory, of which ``shadow`` are
    storage of a shadow stack; ``functions``: code by function name, with what a rewriter put elsewhere for it.

    ``problem``: why the formats are not known ("" = they are)."""

    file: int
    loaded: int
    shadow: int
    sections: dict[str, int]
    formats: dict[str, int]
    functions: dict[str, int]
    problem: str = ""


def sizes(image: Image, rewrite: RewriteMap | None, source: Image) -> Sizes:
    """Of *image*; *source*: the image that was rewritten into it, or it itself."""
    sections: Counter[str] = Counter()
    for section in image.sections:
        if section.name in GROUPS:
            sections[GROUPS[section.name]] += section.size
    formats, problem = _formats(image)
    layout = rewrite.layout if rewrite else None
    return Sizes(
        file=image.path.stat().st_size,
        loaded=sum(segment.size for segment in image.segments),
        shadow=layout.limit - layout.base if layout and layout.provider == "image" else 0,
        sections=dict(sorted(sections.items())),
        formats=formats,
        functions=_functions(source, rewrite),
        problem=problem,
    )


def _formats(image: Image) -> tuple[dict[str, int], str]:
    try:
        rows = survey(image)
    except InputError as error:
        return {}, str(error)
    return {row.name: row.size for row in rows if not row.problem}, next((r.problem for r in rows if r.problem), "")


def _functions(source: Image, rewrite: RewriteMap | None) -> dict[str, int]:
    found: Counter[str] = Counter()
    for function in _outermost(source.functions):
        found[function.name] += function.size
    for piece in rewrite.inserted if rewrite else ():
        size = piece.end - piece.start
        name = piece.function or STUB
        if piece.region in ALSO_CODE:
            found[name] += size
        elif piece.region is Region.DEAD:  # still in the file, and nobody's any more
            found[name] -= size
            found[DEAD] += size
    return dict(sorted((name, size) for name, size in found.items() if size))


def _outermost(functions: tuple[Function, ...]) -> list[Function]:
    """Without functions that lie within another: their bytes are counted there."""
    found: list[Function] = []
    for function in sorted(functions, key=lambda f: (f.start, -f.size)):
        if not found or function.end > found[-1].end:
            found.append(function)
    return found
