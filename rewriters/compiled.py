"""The map of an image whose compiler put the shadow stack in itself (-fsanitize=shadow-call-stack).

Nobody wrote down where its pushes and pops are, but there is only one of each (clang's and gcc's ABI for AArch64:
``str x30, [x18], #8`` and ``ldr x30, [x18, #-8]!``, as in Linux v6.13 arch/arm64/kernel/pi/patch-scs.c), so they are
found by their words and walked as the sites of a rewrite are.  What the walk does not understand is "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.arch.decode import Kind
from lab.errors import RefusedError, UnsupportedError
from lab.images.flow import Code, Graph, noreturn_functions
from lab.images.image import Image
from lab.layout import (
    Census,
    Flavour,
    LayoutRow,
    Leaves,
    Policy,
    RewriteMap,
    ShadowLayout,
    SiteOut,
    Where,
)
from rewriters.choose import decode_all, strangers, walk_sites
from rewriters.pairing import plain_rows, walk
from rewriters.rows import gaps, merged
from rewriters.sites import Action, Ending, Site, words

MODE = "compiler"
"""What a map says that describes no rewrite."""
PUSH, POP = 0xF800865E, 0xF85F8E5E
_ACTIONS = {PUSH: Action.PUSH, POP: Action.POP}
_FRAGMENT = ".cold"


@dataclass
class _Reading:
    """What is known of the functions so far."""

    rows: list[LayoutRow]
    left_out: list[SiteOut]
    instrumented: int = 0


def map_of_compiled(image: Image) -> RewriteMap:
    """The map of *image* as its compiler made it: nothing inserted, layout and census read from the code.

    UnsupportedError where no compiler has such a scheme; RefusedError if *image* was built without it."""
    if image.arch.shadow_register is None:
        raise UnsupportedError(f"{image.path}: no compiler has a shadow call stack for {image.arch.title}")
    sites = _sites(image)
    if not sites:
        raise RefusedError(f"{image.path}: no shadow call stack in it; build with -fsanitize=shadow-call-stack")
    reading = _read(image, sites)
    layout = ShadowLayout(
        flavour=Flavour.REGISTER,
        name=Flavour.REGISTER.value,
        policy=Policy.USE,
        register=image.arch.shadow_register,
        cell=None,
        distance=None,
        base=0,
        limit=0,
        provider="environment",
        rows=tuple(merged(reading.rows)),
    )
    total = sum(len(found) for found in sites.values())
    census = Census(len(image.functions), reading.instrumented, total, total, 0, tuple(reading.left_out))
    return RewriteMap(MODE, image.arch.name, image.sha256, image.sha256, layout, (), census, {}, leaves=Leaves.SKIP)


def _sites(image: Image) -> dict[int, list[Site]]:
    """Pushes and pops by the start of their function; outside of any they are nobody's."""
    found: dict[int, list[Site]] = {}
    for address, word in words(image):
        function = image.function_at(address) if word in _ACTIONS else None
        if function is not None:
            site = Site(address, 4, _ACTIONS[word], Ending.NEXT, inert=False)
            found.setdefault(function.start, []).append(site)
    return found


def _read(image: Image, sites: dict[int, list[Site]]) -> _Reading:
    codes, fragments = _whole(decode_all(image))
    noreturn = noreturn_functions(codes)
    odd = strangers(image, codes)
    reading = _Reading([], [])
    for start, code in codes.items():
        own = sites.get(start, []) + sites.get(fragments.get(start, -1), [])
        _read_function(image, reading, Graph(code, noreturn), own, odd.get(start, ""))
    spans = [(s.address, s.address + s.size) for s in image.sections if s.executable]
    reading.rows += gaps(spans, reading.rows)
    return reading


def _whole(codes: dict[int, Code]) -> tuple[dict[int, Code], dict[int, int]]:
    """*codes* with the parts that the compiler put elsewhere (``f.cold``) joined to their functions, which is how they
    are entered: with the frame up; and start of the function -> start of its part."""
    starts = {name: start for start, code in codes.items() for name in code.function.names}
    whole, fragments = dict(codes), {}
    for start, code in codes.items():
        name = code.function.name
        parent = starts.get(name.removesuffix(_FRAGMENT)) if name.endswith(_FRAGMENT) else None
        if parent is not None:
            fragments[parent] = start
            whole[parent] = Code(code.arch, codes[parent].function, codes[parent].insns + whole.pop(start).insns)
    return whole, fragments


def _read_function(image: Image, reading: _Reading, graph: Graph, sites: list[Site], stranger: str) -> None:
    function = graph.code.function
    if function.start <= image.entry < function.end:
        reason = "the program's entry: there is nobody to return to"
        reading.rows.append(LayoutRow(function.start, function.end, Where.OUTERMOST))
    elif stranger:
        reason = stranger
        reading.rows += _unknown(graph, reason)
    elif not sites:
        reason = _why_none(graph)
        paired = walk(graph, [], Flavour.REGISTER)
        reading.rows += plain_rows(image, paired, function.start, function.end)
    else:
        paired = walk_sites(graph, sites, Flavour.REGISTER)
        reason = paired.problem
        if not reason:
            reading.instrumented += 1
            for i, insn in enumerate(graph.code.insns):
                reading.rows.append(LayoutRow(insn.address, insn.end, *paired.where(i)))
            return
        reading.rows += _unknown(graph, reason)
    reading.left_out.append(SiteOut(function.name, function.start, reason))


def _unknown(graph: Graph, reason: str) -> list[LayoutRow]:
    return [LayoutRow(insn.address, insn.end, Where.UNKNOWN, 0, reason) for insn in graph.code.insns]


def _why_none(graph: Graph) -> str:
    """Why the compiler gave a function no push."""
    code = graph.code
    if code.calls or any(code.arch.lr in i.writes for i in code.insns if i.kind is not Kind.CALL):
        return "lets go of its return address without a push (assembly, or it never returns)"
    return "keeps its return address in the link register"
