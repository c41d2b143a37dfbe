"""A position-independent image at another address, as a loader that picks an address would have it.

Only addresses move; the bytes are those of the file, so an image that relocates itself at its start (static-PIE) does
so from where it now is.
"""

from __future__ import annotations

from dataclasses import replace

from lab.errors import InputError
from lab.images.image import Image

HOME = 0x55_5555_4000
"""Where position-independent processes begin: two thirds up, as in Linux, of what unicorn can reach."""
_PAGE = 0x1000


def rebased(image: Image, by: int) -> Image:
    """*image* with every address *by* bytes (whole pages) higher.  InputError unless it is position-independent."""
    if not image.position_independent:
        raise InputError(f"{image.path}: is linked for fixed addresses; it cannot be loaded elsewhere")
    if by % _PAGE:
        raise InputError(f"{image.path}: cannot be loaded {by:#x} bytes higher: not whole pages")
    return replace(
        image,
        entry=image.entry + by,
        segments=tuple(replace(s, address=s.address + by) for s in image.segments),
        sections=tuple(replace(s, address=s.address + by) for s in image.sections),
        functions=tuple(replace(f, start=f.start + by) for f in image.functions),
        symbols={name: value + by for name, value in image.symbols.items()},
        data_ranges=tuple((start + by, end + by) for start, end in image.data_ranges),
        headers=replace(image.headers, address=image.headers.address + by) if image.headers.count else image.headers,
    )


def way_home(image: Image) -> int:
    """How far a process of *image* must be moved: 0 where it has addresses of its own, else to HOME."""
    return HOME if image.position_independent and image.segments[0].address < _PAGE else 0
