"""One image in, the bytes of another and its map out.  Runs nothing, writes no file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from lab.errors import InputError, RefusedError
from lab.images.image import Image, parse_image
from lab.images.rawelf import read_elf_bytes
from lab.layout import Census, Flavour, Policy, RewriteMap, ShadowLayout
from rewriters import pac, xray
from rewriters.choose import Selection, decode_all, select
from rewriters.flavours import flavour_by_name
from rewriters.flavours.api import DISTANCE
from rewriters.plan import Plan, Storage, make_plan
from rewriters.refusals import CELL_SYMBOL, refuse_image
from rewriters.sites import Found
from rewriters.verify import require, static_checks
from rewriters.write import no_slot, room, slots_needed, write

#: Mode -> how it finds its sites.  A line here, its name in rewriters.modes and one file make another NOP-fill mode.
_FINDERS: dict[str, Callable[[Image], Found]] = {"pac": pac.find, "xray": xray.find}


@dataclass(frozen=True)
class Rewritten:
    """``data``: the new ELF file.  ``map``: what was done, to be saved beside it."""

    data: bytes
    map: RewriteMap


def rewrite(image: Image, mode: str, flavour: str | Flavour, policy: Policy) -> Rewritten:
    """Fill the sites of *image* with the shadow stack of *flavour* and *policy*.

    UnsupportedError: the combination does not exist on this architecture.  RefusedError: it does, but this image
    must not be rewritten so.  InputError: the image is damaged or changed on disk.  EngineError: the result
    failed its own static checks (never returned)."""
    spec = flavour_by_name(flavour)
    refuse_image(image, mode, spec, policy)
    raw = _file(image)
    found = _FINDERS[mode](image)
    selection = select(image, found, decode_all(image), spec, policy)
    if not selection.chosen:
        why = "; ".join(f"{out.function}: {out.reason}" for out in selection.left_out[:2])
        raise RefusedError(f"{image.path}: no function can be rewritten ({why})")
    data, plan, storage, provider = _apply(image, raw, selection, spec.reach)
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
        instrumented=len(selection.chosen),
        sites=found.total,
        inline=plan.inline,
        out_of_line=plan.out_of_line,
        left_out=selection.left_out,
        scan=found.scan,
    )
    sha256 = hashlib.sha256(data).hexdigest()
    result = RewriteMap(mode, image.arch.name, image.sha256, sha256, layout, tuple(plan.inserted), census, {})
    checks = static_checks(image, parse_image(data, image.path), result)
    require(checks, str(image.path))
    return Rewritten(data, replace(result, checks=checks))


def _file(image: Image) -> bytes:
    raw = read_elf_bytes(image.path)
    if hashlib.sha256(raw).hexdigest() != image.sha256:
        raise InputError(f"{image.path}: changed on disk since it was read; try again")
    return raw


def _apply(image: Image, raw: bytes, selection: Selection, flavour: Flavour) -> tuple[bytes, Plan, Storage, str]:
    """Plan and write; who provides the storage: ``image`` if there is room for a stub, else ``environment``."""
    have = room(image, raw)
    cell = _cell(image) if flavour is Flavour.MEMORY else None

    def planner(*, stub: bool) -> Callable[[int, Storage], Plan]:
        return lambda base, storage: make_plan(image, selection, flavour, base, storage, stub=stub)

    own = flavour is not Flavour.PARALLEL
    probe = planner(stub=False)(_near(image), Storage(0, 0, _near(image)))
    if own and slots_needed(have, text=True, storage=True) > have.slots:
        if flavour is not Flavour.REGISTER or probe.text:
            raise RefusedError(no_slot(image))
        own = False
    elif not own and slots_needed(have, text=bool(probe.text), storage=False) > have.slots:
        raise RefusedError(no_slot(image))
    data, plan, storage = write(image, raw, planner(stub=own), storage=own, cell=cell)
    return data, plan, storage, "image" if own else "environment"


def _near(image: Image) -> int:
    return image.segments[-1].end + 0xFFF & ~0xFFF


def _cell(image: Image) -> int | None:
    """The image's own pointer cell, if it has one."""
    cell = image.symbols.get(CELL_SYMBOL)
    if cell is None:
        return None
    home = next((s for s in image.segments if s.address <= cell and cell + 8 <= s.end), None)
    if cell % 8 or home is None or not home.flags & 2:
        raise RefusedError(f"{image.path}: {CELL_SYMBOL} at {cell:#x} is not an aligned writable 8-byte cell")
    return cell
