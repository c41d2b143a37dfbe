"""A new exception table for new code: call sites follow the spans, landing pads go where they were carried.

Layout as in lab.metadata.cfi_lsda.  Everything has a fixed size, so that a table's length never depends on where it
or the code stands: landing pads count from a base of the table's own (an address near them), offsets have 4 bytes.
"""

from __future__ import annotations

from lab.errors import RefusedError
from lab.metadata.cfi_lsda import CallSite, Lsda
from lab.metadata.cfi_reader import FORMATS, OMIT
from rewriters.unwind.encode import number, pointer, uleb
from rewriters.unwind.spans import Group, Places, Span

_PCREL_SDATA4, _UDATA4 = 0x1B, 0x03
_ALIGN = 4
_ULEB_SIZE = 4


def encode_lsda(old: Lsda, group: Group, places: Places, address: int, what: str) -> bytes:
    """The table of *group*, whose code *old* described, to stand at *address* (aligned to 4).

    RefusedError naming *what* if a landing pad cannot be expressed."""
    sites = _sites(old, group, places, what)
    pads = [site.landing_pad for site in sites if site.landing_pad]
    base = min(pads, default=group.start) - 1  # offset 0 means: no landing pad
    head = bytes([_PCREL_SDATA4]) + pointer(base, _PCREL_SDATA4, address + 1, what)
    table = bytearray()
    for site in sites:
        pad = site.landing_pad - base if site.landing_pad else 0
        for value in (site.start - group.start, site.end - site.start, pad):
            table += number(value, _UDATA4, what)
        table += uleb(site.action)
    body = bytes([_UDATA4]) + _padded(len(table), what) + table + old.actions
    if old.type_encoding == OMIT:
        return _aligned(head + bytes([OMIT]) + body)
    size = FORMATS[old.type_encoding & 0x0F][0]
    before = len(head) + 1 + _ULEB_SIZE
    body = body.ljust(-(-(before + len(body)) // _ALIGN) * _ALIGN - before, b"\0")
    at = address + before + len(body)
    types = b""
    for index, target in enumerate(reversed(old.types)):
        types += pointer(target, old.type_encoding, at + index * size, what)
    distance = _padded(len(body) + len(types), what)
    return _aligned(head + bytes([old.type_encoding]) + distance + body + types + old.specs)


def _sites(old: Lsda, group: Group, places: Places, what: str) -> list[CallSite]:
    """The call sites of the new code, in order; neighbours that lead to the same place are one."""
    found: list[CallSite] = []
    for span in group.spans:
        for cut in _within(old.sites, span):
            site = cut._replace(landing_pad=places.stands(cut.landing_pad, what))
            last = found[-1] if found else None
            if last is not None and last.end == site.start and last[2:] == site[2:]:
                found[-1] = last._replace(end=site.end)
            else:
                found.append(site)
    return found


def _within(sites: tuple[CallSite, ...], span: Span) -> list[CallSite]:
    """The old *sites* that *span* lies in, cut to it and in its new addresses; landing pads still the old ones."""
    if not span.linear:
        old = span.old_address
        return [site._replace(start=span.new_start, end=span.new_end) for site in sites if site.start <= old < site.end]
    move, stop = span.new_start - span.old_address, span.old_address + span.old_size
    cut = [(max(site.start, span.old_address), min(site.end, stop), site) for site in sites]
    return [site._replace(start=low + move, end=high + move) for low, high, site in cut if low < high]


def _padded(value: int, what: str) -> bytes:
    """LEB128 of a fixed length."""
    if value >> 7 * _ULEB_SIZE:
        raise RefusedError(f"{what}: its exception table is too long")
    out = [value >> 7 * index & 0x7F | 0x80 for index in range(_ULEB_SIZE)]
    out[-1] &= 0x7F
    return bytes(out)


def _aligned(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // _ALIGN) * _ALIGN, b"\0")
