"""Which functions are rewritten, at which sites, with which scratch registers; and why the others are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.arch import Arch
from lab.arch.decode import Kind
from lab.images.flow import Code, Graph, decode_function, noreturn_functions
from lab.images.image import Function, Image
from lab.images.liveness import FLAGS, Liveness, abi, frames, kept_across_calls, liveness
from lab.layout import Flavour, Leaves, Policy, SiteOut
from rewriters.flavours import FlavourSpec
from rewriters.pairing import Paired, walk
from rewriters.sequences import Sequence, sequence
from rewriters.sites import Found, Site

NO_SITE = "no site (leaf or frameless: the compiler left none)"
LEAF = "a leaf: its return address never leaves the link register, or it makes no call (leaves are skipped)"


@dataclass(frozen=True, slots=True)
class Chosen:
    """One site to fill: the sequence, and dead registers for it."""

    site: Site
    sequence: Sequence
    scratch: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """``chosen``: sites by function start, only of functions that are rewritten.  ``walks``: every function's
    walk, of the instrumented ones with their sites.  ``strangers``: functions others enter or share, and why that
    leaves open where the return address is."""

    chosen: dict[int, tuple[Chosen, ...]]
    walks: dict[int, Paired]
    left_out: tuple[SiteOut, ...]
    strangers: Mapping[int, str]


def decode_all(image: Image) -> dict[int, Code]:
    """Every function of *image*, decoded, by start."""
    return {function.start: decode_function(image, function) for function in image.functions}


def select(
    image: Image,
    found: Found,
    codes: dict[int, Code],
    spec: FlavourSpec,
    policy: Policy,
    *,
    leaves: Leaves = Leaves.ALL,
) -> Selection:
    """Decide for every function.  A function is rewritten at all of its sites or at none."""
    noreturn = noreturn_functions(codes)
    graphs = {start: Graph(code, noreturn) for start, code in codes.items()}
    allowed = _allowed_scratch(image.arch, graphs)
    odd = strangers(image, codes)

    def fill(site: Site) -> Sequence:
        return sequence(image.arch, spec.name, site.action, policy)

    chosen: dict[int, tuple[Chosen, ...]] = {}
    walks: dict[int, Paired] = {}
    left_out = list(found.left_out)
    for function in image.functions:
        graph = graphs[function.start]
        sites = sorted(found.sites.get(function.start, []), key=lambda s: s.address)
        out = _early_reason(image, function, found, sites, odd)
        if out is None and leaves is Leaves.SKIP and not _lets_go(graph.code):
            out = SiteOut(function.name, function.start, LEAF)
        if out is None:
            paired = walk_sites(graph, sites, spec.reach)
            picked, out = _pick(paired, sites, allowed, fill)
        if out is None:
            chosen[function.start], walks[function.start] = picked, paired
        else:
            left_out.append(out)
            walks[function.start] = walk(graph, [], spec.reach)
    return Selection(chosen, walks, tuple(left_out), odd)


def _lets_go(code: Code) -> bool:
    """Whether the return address leaves the place where the call put it: x30 is written; on x86-64, a call is made."""
    lr = code.arch.lr
    return bool(code.calls) or (lr is not None and any(lr in insn.writes for insn in code.insns))


def walk_sites(graph: Graph, sites: list[Site], flavour: Flavour) -> Paired:
    """Walk as if every call came back, so that sites in dead code behind one are known too; where that gives no
    consistent answer, believe that calls to functions which cannot return do not."""
    paired = walk(Graph(graph.code), sites, flavour)
    return walk(graph, sites, flavour) if paired.problem else paired


def _early_reason(
    image: Image, function: Function, found: Found, sites: list[Site], odd: dict[int, str]
) -> SiteOut | None:
    """A reason known before any walk."""
    if not sites:
        return found.refused.get(function.start, SiteOut(function.name, function.start, NO_SITE))
    if function.start in found.refused:
        return found.refused[function.start]
    if function.start <= image.entry < function.end:
        return SiteOut(function.name, function.start, "the program's entry: there is nobody to return to")
    if function.start in odd:
        return SiteOut(function.name, function.start, odd[function.start])
    return None


def _pick(
    paired: Paired, sites: list[Site], allowed: tuple[str, ...], fill: Callable[[Site], Sequence]
) -> tuple[tuple[Chosen, ...], SiteOut | None]:
    name = paired.graph.code.function.name
    if paired.problem:
        return (), SiteOut(name, paired.problem_at, paired.problem)
    live: Liveness | None = None
    chosen = []
    for site in sites:
        what = fill(site)
        scratch: tuple[str, ...] = ()
        if what.scratch or what.flags:
            live = live or liveness(paired.graph, frames(paired.graph))
            i = paired.graph.code.index[site.address]
            scratch = live.free(i, allowed)[: what.scratch]
            if len(scratch) < what.scratch:
                return (), SiteOut(name, site.address, f"no {what.scratch} dead scratch registers here")
            if what.flags and not live.free(i, (FLAGS,)):
                return (), SiteOut(name, site.address, "the condition flags are live here")
        chosen.append(Chosen(site, what, scratch))
    return tuple(chosen), None


def _allowed_scratch(arch: Arch, graphs: dict[int, Graph]) -> tuple[str, ...]:
    """Scratch registers no caller of this image keeps a value in across a call."""
    kept = 0
    for graph in graphs.values():
        if graph.code.calls:
            kept |= kept_across_calls(graph, frames(graph))
    bits = abi(arch).bits
    return tuple(name for name in arch.scratch if not bits[name] & kept)


def strangers(image: Image, codes: dict[int, Code]) -> dict[int, str]:
    """Functions (by start) that others enter or share, and why that leaves open where the return address is."""
    return _overlaps(image) | _jumps_into_the_middle(image, codes)


def _jumps_into_the_middle(image: Image, codes: dict[int, Code]) -> dict[int, str]:
    """Functions (by start) that another function enters elsewhere than at their start, and from where."""
    found: dict[int, str] = {}
    for code in codes.values():
        for insn in code.insns:
            if insn.kind not in {Kind.JUMP, Kind.BRANCH, Kind.CALL} or insn.target is None:
                continue
            if insn.target in code.index:
                continue
            home = image.function_at(insn.target)
            if home is not None and home.start != insn.target:
                found.setdefault(home.start, f"{code.function.name} jumps into its middle at {insn.target:#x}")
    return found


def _overlaps(image: Image) -> dict[int, str]:
    """Functions (by start) whose range another function shares."""
    found = {}
    furthest = image.functions[0]  # the one that reaches furthest, of those that start before
    for function in image.functions[1:]:
        if function.start < furthest.end:
            found[furthest.start] = f"overlaps {function.name}"
            found[function.start] = f"overlaps {furthest.name}"
        furthest = max(furthest, function, key=lambda f: f.end)
    return found
