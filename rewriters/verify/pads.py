"""Landing pads: where an exception thrown by a call goes, by the original's exception tables."""

from __future__ import annotations

import bisect

from lab.images.image import Image
from lab.metadata.cfi_lsda import CallSite
from rewriters.unwind import read_frames, read_lsda


class Pads:
    """Every call site of *image* that has a landing pad."""

    def __init__(self, image: Image) -> None:
        frames = read_frames(image)
        tables = [] if frames is None else [read_lsda(image, fde) for fde in frames.fdes if fde.lsda]
        self._sites: list[CallSite] = sorted(site for table in tables for site in table.sites if site.landing_pad)
        self._starts = [site.start for site in self._sites]

    def of(self, behind: int) -> int | None:
        """The landing pad of the call whose return address is *behind*."""
        index = bisect.bisect_left(self._starts, behind) - 1
        return self._sites[index].landing_pad if index >= 0 and behind <= self._sites[index].end else None
