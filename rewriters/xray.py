"""Sites of -fxray-instrument code: the NOP sleds listed in xray_instr_map.

Entry layout (LLVM docs/XRay.rst; compiler-rt lib/xray/xray_interface_internal.h, XRaySledEntry): 32 bytes:
i64 address and i64 function (relative to their own fields from version 2 on), u8 kind, u8 always-instrument,
u8 version, padding.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lab.errors import InputError, RefusedError
from lab.images.image import Image
from lab.layout import SiteOut
from rewriters.pac import signs
from rewriters.scan import score_scan
from rewriters.sites import Action, Ending, Found, Site

SECTION = "xray_instr_map"
_ENTRY = 32
_KNOWN_VERSIONS = frozenset(range(3))


class SledKind(enum.Enum):
    """Values of XRaySledEntry::Kind."""

    ENTRY = 0
    EXIT = 1
    TAIL = 2
    LOG_ARGS_ENTRY = 3
    CUSTOM_EVENT = 4
    TYPED_EVENT = 5


_ACTIONS = {
    SledKind.ENTRY: Action.PUSH,
    SledKind.LOG_ARGS_ENTRY: Action.PUSH,
    SledKind.EXIT: Action.POP,
    SledKind.TAIL: Action.POP,
}

_A64_SLED = struct.pack("<8I", 0x14000008, *[0xD503201F] * 7)  # b #32; 7 nops
_X86_JUMP_SLED = bytes.fromhex("eb09 660f1f840000020000")  # jmp +9; 9-byte nop
_X86_RETURN_SLED = bytes.fromhex("c3 2e660f1f840000020000")  # ret; 10-byte nop


@dataclass(frozen=True, slots=True)
class Sled:
    """One record: where the sled is, whose, and what for."""

    address: int
    function: int
    kind: SledKind


def records(image: Image) -> Iterator[Sled]:
    """The records of *image* in table order; InputError for a damaged or unknown one."""
    section = image.section(SECTION)
    if section is None or not section.data:
        raise RefusedError(
            f"{image.path}: no {SECTION}: no sleds to fill; build with -fxray-instrument -fxray-instruction-threshold=1"
        )
    if len(section.data) % _ENTRY:
        raise InputError(f"{image.path}: {SECTION} is {len(section.data)} bytes, not a multiple of {_ENTRY}")
    for offset in range(0, len(section.data), _ENTRY):
        field = section.address + offset
        address, function, kind, _, version = struct.unpack_from("<qqBBB", section.data, offset)
        if version not in _KNOWN_VERSIONS:
            raise InputError(f"{image.path}: {SECTION} record at {field:#x} has unknown version {version}")
        if kind not in {k.value for k in SledKind}:
            raise InputError(f"{image.path}: {SECTION} record at {field:#x} has unknown kind {kind}")
        if version >= 2:
            address, function = address + field, function + field + 8
        yield Sled(address, function, SledKind(kind))


def find(image: Image) -> Found:
    """All sleds of *image* as sites, and how well scanning for them would have done (row 48 of the field guide)."""
    found = Found()
    sleds = list(records(image))
    for sled in sleds:
        action = _ACTIONS.get(sled.kind)
        if action is None:
            found.total += 1
            reason = f"{sled.kind.name.lower().replace('_', ' ')} sled: neither an entry nor an exit"
            found.left_out.append(SiteOut(_name(image, sled.address), sled.address, reason))
            continue
        owner = found.add(image, Site(sled.address, _check(image, sled), action, _ending(image, sled), inert=True))
        if owner and owner.start != sled.function:
            found.refuse(owner, f"the sled at {image.locate(sled.address)} is recorded for {sled.function:#x}")
    if image.arch.lr is not None:
        for out in signs(image):
            function = image.function_at(out.address)
            if function is not None:
                found.refuse(function, out.reason, out.address)
    found.scan = score_scan(image, sleds_by_address(sleds))
    return found


def sleds_by_address(sleds: list[Sled]) -> dict[int, str]:
    """Address -> kind in words, of entry, exit and tail sleds."""
    return {s.address: s.kind.name.lower() for s in sleds if s.kind in _ACTIONS}


def _ending(image: Image, sled: Sled) -> Ending:
    on_x86_exit = image.arch.lr is None and sled.kind is SledKind.EXIT
    return Ending.RETURN if on_x86_exit else Ending.NEXT


def _check(image: Image, sled: Sled) -> int:
    """The sled's size in bytes; InputError if the bytes are not those of a sled nobody has touched."""
    if image.arch.lr is not None:
        expected = _A64_SLED
    else:
        expected = _X86_RETURN_SLED if sled.kind is SledKind.EXIT else _X86_JUMP_SLED
    if image.read(sled.address, len(expected)) != expected:
        raise InputError(
            f"{image.path}: {SECTION} names {image.locate(sled.address)}, but there is no unfilled sled there; "
            "already rewritten, or damaged"
        )
    return len(expected)


def _name(image: Image, address: int) -> str:
    function = image.function_at(address)
    return function.name if function else ""
