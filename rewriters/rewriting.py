"""One image in, the bytes of another and its map out.  Runs nothing, writes no file."""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

from lab.errors import InputError, RefusedError
from lab.images.image import Image, parse_image
from lab.images.rawelf import read_elf_bytes
from lab.layout import NEW_TEXT, Census, Flavour, Leaves, Policy, RewriteMap, ShadowLayout
from rewriters import nopfill, pac, xray
from rewriters.copyonly import COPY_ONLY
from rewriters.detour import prepare as detour
from rewriters.elf_tables import Changes, NewSection, eh_frame_header
from rewriters.flavours import FlavourSpec, flavour_by_name
from rewriters.flavours.api import DISTANCE
from rewriters.insertion import prepare as insertion
from rewriters.modes import ANALYSED
from rewriters.plan import Plan, Prepared, Storage, begin_plan
from rewriters.refusals import CELL_SYMBOL, MARKER, refuse_image
from rewriters.unwind import Edits, Places, Registration, build
from rewriters.unwind.build import ALIGN as UNWIND_ALIGN
from rewriters.verify import require, static_checks
from rewriters.verify.unwind import check_tables
from rewriters.write import Tables, lay_out, no_slot, room, slots_needed, write

#: Mode -> how it decides what to do with an image.  A line here, its name in rewriters.modes and one file make another.
_PREPARE: dict[str, Callable[[Image, FlavourSpec, Policy, Leaves], Prepared]] = {
    "pac": partial(nopfill.prepare, pac.find),
    "xray": partial(nopfill.prepare, xray.find),
    "detour": detour.prepare,
    "insertion": insertion.prepare,
}


@dataclass(frozen=True)
class Rewritten:
    """``data``: the new ELF file.  ``map``: what was done, to be saved beside it.  ``took``: what that took."""

    data: bytes
    map: RewriteMap
    took: Took = field(compare=False)


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of processor time: reading sites and deciding, planning and writing, and the static checks."""

    deciding: float
    writing: float
    checking: float


def rewrite(image: Image, mode: str, flavour: str | Flavour, policy: Policy, leaves: Leaves = Leaves.ALL) -> Rewritten:
    """Give *image* the shadow stack of *flavour* and *policy*.

    UnsupportedError: the combination does not exist on this architecture.  RefusedError: it does, but this image
    must not be rewritten so, or the result fails its own static checks (then it is never returned).  InputError: the
    image is damaged or changed on disk."""
    try:
        with _collecting_nothing():
            return _rewrite(image, mode, flavour_by_name(flavour), policy, leaves)
    except RefusedError as error:
        where = f"{image.path}: "
        if str(error).startswith(where):
            raise
        raise RefusedError(where + str(error)) from None  # what encodes an instruction does not know of files


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """No cyclic garbage is collected meanwhile: there is next to none among some million objects that all live to
    the end, and looking for it again and again takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _rewrite(image: Image, mode: str, spec: FlavourSpec, policy: Policy, leaves: Leaves) -> Rewritten:
    refuse_image(image, mode, spec, policy)
    raw = _file(image)
    clock = [time.thread_time()]
    work = _PREPARE[mode](image, spec, policy, leaves)
    clock.append(time.thread_time())
    if not work.instrumented:
        why = "; ".join(f"{out.function}: {out.reason}" for out in work.left_out[:2])
        raise RefusedError(f"{image.path}: no function can be rewritten ({why})")
    own = spec is not COPY_ONLY and (spec.reach is not Flavour.PARALLEL or mode in ANALYSED)
    data, plan, storage, provider = _apply(image, raw, work, spec.reach, own=own)
    layout = ShadowLayout(
        flavour=spec.reach,
        name=spec.name,
        policy=policy,
        register=image.arch.shadow_register if spec.reach is Flavour.REGISTER else None,
        cell=storage.cell if spec.reach is Flavour.MEMORY else None,
        distance=DISTANCE if spec.reach is Flavour.PARALLEL else None,
        base=storage.base,
        limit=storage.limit,
        provider=provider,
        rows=tuple(plan.rows),
    )
    census = Census(
        functions=len(image.functions),
        instrumented=work.instrumented,
        sites=work.sites,
        inline=plan.inline,
        out_of_line=plan.out_of_line,
        left_out=work.left_out,
        scan=work.scan,
        calling=work.calling,
        calling_instrumented=work.calling_instrumented,
        decoded=work.decoded,
        understood=work.understood,
    )
    result = RewriteMap(
        mode=mode,
        arch=image.arch.name,
        source_sha256=image.sha256,
        output_sha256=hashlib.sha256(data).hexdigest(),
        layout=layout,
        inserted=tuple(plan.inserted),
        census=census,
        checks={},
        carried=tuple(plan.carried),
        patched=tuple(plan.patched),
        leaves=leaves,
    )
    clock.append(time.thread_time())
    checks = static_checks(image, parse_image(data, image.path), result)
    if not all(check["ok"] for check in checks.values()) and (damage := next(check_tables(image), "")):
        damage = damage.removeprefix(f"{image.path}: ")
        raise InputError(
            f"{image.path}: its unwind information is damaged: {damage}; link it again, or strip it of that"
        )
    require(checks, str(image.path))
    clock.append(time.thread_time())
    return Rewritten(data, replace(result, checks=checks), Took(*(end - start for start, end in pairwise(clock))))


def _file(image: Image) -> bytes:
    raw = read_elf_bytes(image.path)
    if hashlib.sha256(raw).hexdigest() != image.sha256:
        raise InputError(f"{image.path}: changed on disk since it was read; try again")
    return raw


def _apply(
    image: Image, raw: bytes, work: Prepared, flavour: Flavour, *, own: bool
) -> tuple[bytes, Plan, Storage, str]:
    """Plan and write; who provides the storage: ``image`` (*own*: its stub does) or ``environment``."""
    have = room(image, raw)
    pointer = flavour is not Flavour.PARALLEL
    if slots_needed(have, text=own or work.needs_text, storage=pointer) > have.slots:
        if flavour is not Flavour.REGISTER or work.needs_text:
            raise RefusedError(no_slot(image))
        own = pointer = False
    ground = lay_out(image, have, storage=pointer, cell=_cell(image) if flavour is Flavour.MEMORY else None)
    plan = begin_plan(image, flavour, ground.text, ground.storage, text=work.needs_text, stub=own)
    work.fill(plan, ground.storage)
    plan.finish(image)
    data = write(image, raw, plan, ground, _tables(image, raw, plan, work.registrations))
    return data, plan, ground.storage, "image" if own else "environment"


def _tables(image: Image, raw: bytes, plan: Plan, registered: tuple[Registration, ...]) -> Tables:
    """Unwind information for new text, and its names."""
    if not plan.text.data:
        return Tables()
    plan.text.align(UNWIND_ALIGN, b"\0")
    start = plan.text.base + len(MARKER)
    sections = [NewSection(NEW_TEXT, start, plan.here - start, executable=True)]
    edits = Edits(tuple(sorted(plan.spans, key=lambda span: span.new_start)), tuple(plan.dead))
    made = build(image, edits, plan.here, header=eh_frame_header(raw) is not None) if plan.spans else None
    if made is not None:
        for site in registered:
            new = made.entries[site.entry]
            for address, code in site.patches(new):
                plan.patch(address, code, site.entry, new)
        sections.append(NewSection(".eh_frame", *made.eh_frame))
        if made.header is not None:
            sections.append(NewSection(".eh_frame_hdr", *made.header))
        if made.tables[1]:
            sections.append(NewSection(".gcc_except_table.unwindlab", *made.tables))
    header = made.header if made is not None else None
    changes = Changes(tuple(sections), tuple(plan.symbols), tuple(plan.moved), Places(edits).new, header)
    return Tables(made.data if made is not None else b"", changes)


def _cell(image: Image) -> int | None:
    """The image's own pointer cell, if it has one."""
    cell = image.symbols.get(CELL_SYMBOL)
    if cell is None:
        return None
    home = next((s for s in image.segments if s.address <= cell and cell + 8 <= s.end), None)
    if cell % 8 or home is None or not home.flags & 2:
        raise RefusedError(f"{image.path}: {CELL_SYMBOL} at {cell:#x} is not an aligned writable 8-byte cell")
    return cell
