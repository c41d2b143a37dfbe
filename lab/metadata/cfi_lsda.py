"""Exception tables of functions: the language-specific data area (LSDA) that an FDE points to.

Sources: Itanium C++ ABI: Exception Handling, section 2.5 leaves the layout open; the one in use is GCC's, as read by
libstdc++'s eh_personality.cc (parse_lsda_header, get_ttype_entry, check_exception_spec) and written alike by LLVM:
landing-pad base, type table, call sites (sorted; code outside them terminates), chains of actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lab.errors import InputError
from lab.metadata.cfi_reader import FORMATS, INDIRECT, OMIT, PCREL, Reader

_SECTION = ".gcc_except_table"
_BASE = 0x70


class CallSite(NamedTuple):
    """An exception thrown within [start, end) goes to ``landing_pad`` (0: on to the caller).  ``action``: 1 + the
    offset of the first record in the action table, 0: cleanups only."""

    start: int
    end: int
    landing_pad: int
    action: int


@dataclass(frozen=True)
class Lsda:
    """One function's exception table at [address, end).

    ``sites``: in table order; ``actions``: the action table's bytes; ``types``: address per type (1 is the first;
    with INDIRECT in ``type_encoding`` the address of the slot that holds it; 0: any type); ``specs``: what follows
    the type table, for exception specifications; ``filters``: every filter value that some action has."""

    address: int
    end: int
    sites: tuple[CallSite, ...]
    actions: bytes
    types: tuple[int, ...]
    specs: bytes
    type_encoding: int
    filters: frozenset[int]

    @property
    def catches(self) -> bool:
        """Some landing pad catches or filters exceptions; otherwise there are only cleanups."""
        return any(self.filters)

    @property
    def cleans(self) -> bool:
        """There is a landing pad at all."""
        return any(site.landing_pad for site in self.sites)


def lsda(data: bytes, base: int, where: str, address: int, function: int) -> Lsda:
    """The table at *address* of the FDE that starts at *function*; *data*, loaded at *base*, holds it.

    InputError naming *where* (a file) and the address if it is damaged or of a form no compiler writes."""
    if not base <= address < base + len(data):
        raise InputError(f"{where}: LSDA at {address:#x} lies outside every section")
    code = Reader(data, base, where, address - base, section=_SECTION)
    pads = function
    encoding = code.byte()
    if encoding != OMIT:
        pads = code.pointer(encoding)
    type_encoding = code.byte()
    types_at = None
    if type_encoding != OMIT:
        distance = code.uleb()
        types_at = code.at + distance
    encoding = code.byte()
    size = code.uleb()
    start = code.skip(size)
    sites = tuple(_sites(code.part(start, code.at), encoding, function, pads))
    chains = _Chains(code)
    for site in sites:
        if site.landing_pad and site.action:
            chains.follow(code.at + site.action - 1)
    actions = data[code.at : chains.end]
    if types_at is None:
        if any(chains.filters):
            raise code.fail("actions name types, but there is no type table")
        return Lsda(address, base + chains.end, sites, actions, (), b"", OMIT, frozenset(chains.filters))
    types, specs = _types(code, types_at, type_encoding, chains.filters)
    end = base + max(chains.end, types_at + len(specs))
    return Lsda(address, end, sites, actions, types, specs, type_encoding, frozenset(chains.filters))


def _sites(code: Reader, encoding: int, function: int, pads: int) -> list[CallSite]:
    """The call-site table; *function* and *pads* are what its offsets count from."""
    if encoding & _BASE:
        raise code.fail(f"call-site encoding {encoding:#x} is not an offset")
    found = []
    while code.at < code.end:
        start, size, pad = code.number(encoding), code.number(encoding), code.number(encoding)
        action = code.uleb()
        if start < 0 or size < 0 or pad < 0 or max(start, size, pad) >= 1 << 32:
            raise code.fail("call site outside every function")
        found.append(CallSite(function + start, function + start + size, pads + pad if pad else 0, action))
    return found


class _Chains:
    """The actions that call sites lead to: each record is read once, however many chains share it."""

    def __init__(self, code: Reader) -> None:
        self.code = code
        self.seen: set[int] = set()
        self.filters: set[int] = set()
        self.end = code.at

    def follow(self, at: int) -> None:
        """Read the chain whose first record lies at offset *at*."""
        code = self.code
        while at not in self.seen:
            if not code.at <= at < code.end:
                raise code.fail("action outside the table")
            self.seen.add(at)
            record = code.part(at, code.end)
            self.filters.add(record.sleb())
            here = record.at
            step = record.sleb()
            self.end = max(self.end, record.at)
            if step == 0:
                return
            at = here + step


def _types(code: Reader, at: int, encoding: int, filters: set[int]) -> tuple[tuple[int, ...], bytes]:
    """(type addresses, specification table): what *filters* refer to, the type table ending at offset *at*."""
    if at > code.end or encoding & 0x0F not in FORMATS or encoding & _BASE & ~PCREL:
        raise code.fail(f"type table of encoding {encoding:#x} at {code.base + at:#x} cannot be read")
    highest, specs = max(filters | {0}), at
    for value in filters:
        if value < 0:
            spec = code.part(min(at - value - 1, code.end), code.end)
            while index := spec.uleb():
                highest = max(highest, index)
            specs = max(specs, spec.at)
    size = FORMATS[encoding & 0x0F][0]
    if highest * size > at - code.at:
        raise code.fail(f"type {highest} lies outside the type table")
    found = []
    for index in range(1, highest + 1):
        entry = code.part(at - index * size, at - (index - 1) * size)
        found.append(entry.pointer(encoding & ~INDIRECT))
    return tuple(found), code.data[at:specs]
