"""Where a program hands its .eh_frame to the unwinder itself, and how to hand it the new one.

A program linked without .eh_frame_hdr calls __register_frame_info from GCC's start files (libgcc/crtstuff.c:
frame_dummy, and __do_global_dtors_aux at the end) with the address of its start file's contribution: an entry in the
middle of the section, or its very end.  The forms below are those that GCC makes of that call; a stripped image has no
names, so a reference is known by the entry it leads to and by the call it is an argument of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lab.arch import Arch
from lab.arch.decode import ENDS_FLOW, Kind, decode
from lab.errors import RefusedError
from lab.images.image import Image, Segment
from lab.images.rawelf import PF_X
from lab.metadata.cfi import Frames
from rewriters.encode import a64_adrp, number, read_back, x86_lea
from rewriters.unwind.source import read_frames

_REGISTRAR = "__register_frame_info"
_NEAR = 8  # instructions between the argument and the call
_WINDOW = 4 * 16
#: x86-64: bytes before a 4-byte immediate or displacement that load RDI, the first argument.
_MOV, _MOV_SIGNED, _LEA = b"\xbf", b"\x48\xc7\xc7", b"\x48\x8d\x3d"


@dataclass(frozen=True, slots=True)
class Registration:
    """The instructions in [start, end) load ``entry``, the address of an entry of .eh_frame, for a call.  They must
    stay where they are; ``patches`` gives them another address."""

    arch: Arch
    start: int
    end: int
    entry: int
    parts: tuple[tuple[int, bytes], ...]

    def patches(self, new: int) -> tuple[tuple[int, bytes], ...]:
        """(address, bytes) to write, for the entry to be *new*.  RefusedError if the form cannot reach it."""
        return _patch_a64(self, new) if self.arch.name == "aarch64" else _patch_x86(self, new)


def registered(image: Image) -> tuple[Registration, ...]:
    """``registrations`` of what *image* itself brings; none without unwind information."""
    found = read_frames(image)
    return () if found is None else registrations(image, found)


def registrations(image: Image, found: Frames) -> tuple[Registration, ...]:
    """Every place of *image* that hands its .eh_frame (*found*) to the unwinder.

    RefusedError if there seem to be some that are of no known form."""
    offsets = [cie.offset for cie in found.cies] + [fde.offset for fde in (*found.fdes, *found.dropped)]
    entries = {found.address + offset for offset in [*offsets, found.end]}
    finder = _find_a64 if image.arch.name == "aarch64" else _find_x86
    known = [site for site in finder(image, entries) if _is_argument(image, site)]
    targets = {site.entry for site in known}
    if len(targets) > 1:
        raise RefusedError(f"{image.path}: code registers .eh_frame from {len(targets)} places; only one is understood")
    if not known:
        if _REGISTRAR in image.symbols and not _searched(image):
            raise RefusedError(f"{image.path}: {_REGISTRAR} is there, but not the code that calls it")
        return ()
    others = _others(image, targets.pop(), {address for site in known for address, _ in site.parts})
    if others:
        raise RefusedError(f"{image.path}: what refers to .eh_frame at {others[0]:#x} is not understood")
    return tuple(known)


def _searched(image: Image) -> bool:
    """The unwinder finds the image's frames through its .eh_frame_hdr."""
    return image.section(".eh_frame_hdr") is not None


def _code(image: Image) -> Iterator[Segment]:
    return (segment for segment in image.segments if segment.flags & PF_X)


def _find_a64(image: Image, entries: set[int]) -> Iterator[Registration]:
    """``adrp x0`` and, within a few instructions, ``add x0, x0``, that make the address of an entry."""
    low, high = min(entries) & ~0xFFF, max(entries)
    for segment in _code(image):
        words = np.frombuffer(segment.data[: len(segment.data) & ~3], "<u4").astype(np.int64)
        pages = ((words >> 5 & 0x7FFFF) << 2 | words >> 29 & 3) << 12
        pages -= (pages >> 32) << 33
        pages += segment.address + 4 * np.arange(len(words)) & ~0xFFF
        chosen = (words & 0x9F00001F == 0x90000000) & (pages >= low) & (pages <= high)
        for index in map(int, np.flatnonzero(chosen)):
            for later in range(index + 1, min(index + _NEAR, len(words))):
                word = int(words[later])
                if word & 0xFFC003FF == 0x91000000:  # add x0, x0, #imm12
                    target = int(pages[index]) + (word >> 10 & 0xFFF)
                    if target in entries:
                        yield _site(image, segment.address, [(index, 4), (later, 4)], target, 4)
                    break


def _find_x86(image: Image, entries: set[int]) -> Iterator[Registration]:
    """Instructions that load RDI with the address of an entry."""
    for segment in _code(image):
        absolute, relative = _dwords(segment)
        for values, forms in ((absolute, (_MOV, _MOV_SIGNED)), (relative, (_LEA,))):
            for index in np.flatnonzero((values >= min(entries)) & (values <= max(entries))):
                target = int(values[index])
                for form in forms if target in entries else ():
                    start = int(index) - len(form)
                    if start >= 0 and segment.data[start:index] == form:
                        yield _site(image, segment.address, [(start, len(form) + 4)], target, 1)


def _dwords(segment: Segment) -> tuple[np.ndarray, np.ndarray]:
    """At every byte, the signed dword there: as an address, and as a displacement from the dword's end."""
    data = np.frombuffer(segment.data, np.uint8).astype(np.int64)
    if len(data) < 4:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    values = data[:-3] | data[1:-2] << 8 | data[2:-1] << 16 | data[3:] << 24
    values -= (values >> 31) << 32
    return values, values + segment.address + 4 + np.arange(len(values))


def _site(image: Image, base: int, parts: list[tuple[int, int]], entry: int, unit: int) -> Registration:
    """A registration from (index, bytes) in a segment at *base* whose indices count *unit* bytes."""
    places = [(base + index * unit, size) for index, size in parts]
    start, end = places[0][0], places[-1][0] + places[-1][1]
    return Registration(image.arch, start, end, entry, tuple((at, image.read(at, size)) for at, size in places))


def _is_argument(image: Image, site: Registration) -> bool:
    """The loaded register is still the first argument when the next call, or a tail call, is made."""
    argument = "x0" if image.arch.name == "aarch64" else "rdi"
    home = next(segment for segment in image.segments if segment.address <= site.start < segment.end)
    code = image.read(site.end, min(_WINDOW, home.end - site.end))
    for insn, _ in zip(decode(image.arch, code, site.end), range(_NEAR), strict=False):
        if insn.kind is Kind.CALL or (insn.kind is Kind.JUMP and insn.target is not None):
            return True
        if insn.kind in ENDS_FLOW or argument in insn.writes:
            return False
    return False


def _others(image: Image, target: int, known: set[int]) -> list[int]:
    """Addresses of other data or code that holds *target*, but for the instructions at *known*."""
    found = []
    for segment in image.segments:
        whole = target.to_bytes(8, "little")
        at = segment.data.find(whole)
        while at >= 0:
            if (segment.address + at) % 8 == 0:
                found.append(segment.address + at)
            at = segment.data.find(whole, at + 1)
        if segment.flags & PF_X and image.arch.name != "aarch64":
            for values in _dwords(segment):
                hits = (segment.address + int(index) for index in np.flatnonzero(values == target))
                found += [hit for hit in hits if not {hit - 1, hit - 3} & known]
    return found


def _patch_a64(site: Registration, new: int) -> tuple[tuple[int, bytes], ...]:
    (first, _), (second, word) = site.parts
    code, text = a64_adrp(first, "x0", new)
    low = new & 0xFFF
    add = (int.from_bytes(word, "little") & ~(0xFFF << 10) | low << 10).to_bytes(4, "little")
    return (
        (first, read_back(site.arch, code, first, text)),
        (second, read_back(site.arch, add, second, f"add x0, x0, #{number(low)}")),
    )


def _patch_x86(site: Registration, new: int) -> tuple[tuple[int, bytes], ...]:
    ((at, old),) = site.parts
    if old.startswith(_LEA):
        code, text = x86_lea(at, "rdi", new)
    elif new >= 1 << 31:
        raise RefusedError(f"the new .eh_frame at {new:#x} does not fit in the instruction at {at:#x}")
    else:
        code = old[:-4] + new.to_bytes(4, "little")
        text = f"mov {'edi' if old.startswith(_MOV) else 'rdi'}, {number(new)}"
    return ((at, read_back(site.arch, code, at, text)),)
