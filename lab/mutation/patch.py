"""Code of an image replaced, byte for byte in place: nothing moves, no length changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from lab.arch import Arch
from lab.images.image import Image

_A64_NOP = bytes.fromhex("1f2003d5")
_X86_NOPS = tuple(
    bytes.fromhex(text)
    for text in (
        *("90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "0f1f8000000000"),
        *("0f1f840000000000", "660f1f840000000000"),
    )
)
"""By length less one: the forms the manuals recommend (Intel SDM vol. 2B, NOP)."""


def nop(arch: Arch, size: int) -> bytes:
    """One instruction of *size* bytes that does nothing."""
    if arch.insn_align == len(_A64_NOP):
        assert size == len(_A64_NOP)
        return _A64_NOP
    longest = _X86_NOPS[-1]
    return b"\x66" * (size - len(longest)) + longest if size > len(longest) else _X86_NOPS[size - 1]


def patched(image: Image, edits: Mapping[int, bytes]) -> Image:
    """*image* with the bytes at each address replaced, in segments and sections; its hash differs.  InputError where
    no segment holds them."""
    digest = hashlib.sha256(image.sha256.encode())
    for address, data in sorted(edits.items()):
        digest.update(f" {address:x} {data.hex()}".encode())
        image.read(address, len(data))
    return replace(
        image,
        sha256=digest.hexdigest(),
        segments=tuple(replace(s, data=_edited(s.data, s.address, edits)) for s in image.segments),
        sections=tuple(replace(s, data=_edited(s.data, s.address, edits)) for s in image.sections),
    )


def _edited(data: bytes, start: int, edits: Mapping[int, bytes]) -> bytes:
    inside = {at: new for at, new in edits.items() if start <= at and at + len(new) <= start + len(data)}
    if not inside:
        return data
    changed = bytearray(data)
    for at, new in inside.items():
        changed[at - start : at - start + len(new)] = new
    return bytes(changed)
