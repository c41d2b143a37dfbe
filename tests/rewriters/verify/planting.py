"""Damage for rewritten images: bytes, jumps, rows and tables put wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from lab.images.image import Image, Section, Segment, parse_image
from lab.layout import Flavour, LayoutRow, Policy, RewriteMap
from rewriters import encode, rewrite
from rewriters.verify import static_checks
from rewriters.verify.carried import compare
from rewriters.verify.pair import Pair
from rewriters.verify.units import Unit, Units, What, take_apart
from rewriters.verify.ways import Ways

#: What the main guest is compiled as, per mode.
CODE = {"pac": "pac", "xray": "xray", "detour": "none", "insertion": "none"}


@dataclass(frozen=True)
class Case:
    """One rewrite: the image before, after, and the map."""

    old: Image
    new: Image
    map: RewriteMap

    @cached_property
    def pair(self) -> Pair:
        """As the checks see it."""
        return Pair(self.old, self.new, self.map)

    @cached_property
    def units(self) -> Units:
        """The new text, taken apart."""
        return take_apart(self.pair)

    @cached_property
    def ways(self) -> Ways:
        """Where control goes."""
        return Ways(self.pair, self.units, compare(self.pair))

    def failed(self) -> set[str]:
        """Names of the checks that fail."""
        return {name for name, result in static_checks(self.old, self.new, self.map).items() if not result["ok"]}

    def poked(self, address: int, data: bytes) -> Case:
        """The same with *data* at *address* of the new image, in its segments and its sections."""
        return replace(self, new=poke(self.new, address, data))

    def jump(self, at: int, target: int) -> Case:
        """The same with our jump at *at* leading to *target*."""
        return self.poked(at, encode.jump(self.old.arch, at, target)[0])

    def with_map(self, **changes: object) -> Case:
        """The same with another map."""
        return replace(self, map=replace(self.map, **changes))  # type: ignore[arg-type]

    def with_rows(self, rows: tuple[LayoutRow, ...]) -> Case:
        """The same with other layout rows."""
        return self.with_map(layout=replace(self.map.layout, rows=rows))

    def some(self, *kinds: What) -> list[Unit]:
        """Units of some kinds, by address."""
        return [unit for _, unit in sorted(self.units.by_start.items()) if unit.what in kinds]


def make(old: Image, mode: str, flavour: Flavour, policy: Policy) -> Case:
    """Rewrite *old*."""
    done = rewrite(old, mode, flavour, policy)
    return Case(old, parse_image(done.data, old.path), done.map)


def poke(image: Image, address: int, data: bytes) -> Image:
    """*image* with *data* at *address*."""

    def changed(start: int, held: bytes) -> bytes:
        if not start <= address < start + len(held):
            return held
        at = address - start
        return held[:at] + data + held[at + len(data) :]

    segments = tuple(Segment(s.address, s.size, changed(s.address, s.data), s.flags) for s in image.segments)
    sections = tuple(
        Section(s.name, s.address, s.size, changed(s.address, s.data), s.executable, s.writable) for s in image.sections
    )
    return replace(image, segments=segments, sections=sections)
